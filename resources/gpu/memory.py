"""A training on a GPU as a checkpoint, and back: arrays by name, and values that JSON has. No pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from resources.gpu.splats import Splats, from_arrays

SPLATS, MOVERS = "splats.", "movers."
ONE = "step"


def arrays_of(splats: Splats, movers: Mapping[str, Any]) -> dict[str, Any]:
    """Return copies of parameters and moments."""
    arrays = {SPLATS + name: _array(values) for name, values in splats.items()}
    for name, mover in movers.items():
        arrays |= {f"{MOVERS}{name}.{key}": values for key, values in mover_arrays(mover).items()}
    return arrays


def mover_arrays(mover: Any) -> dict[str, Any]:
    """Return copies of an optimiser's moments, by name; none before its first step."""
    kept = mover.state.get(mover.param_groups[0]["params"][0], {})
    return {key: _array(values) if torch.is_tensor(values) else np.array(values) for key, values in kept.items()}


def splats_from(arrays: Mapping[str, Any], device: Any) -> Splats:
    """Return the parameters. Raises ``KeyError`` where there are none."""
    found = {name.removeprefix(SPLATS): values for name, values in arrays.items() if name.startswith(SPLATS)}
    if "means" not in found:
        raise KeyError("splats.means")
    return from_arrays(found, device)


def restore_mover(mover: Any, arrays: Mapping[str, Any]) -> None:
    """Give an optimiser the moments that ``mover_arrays`` returned."""
    if not arrays:
        return
    values = mover.param_groups[0]["params"][0]
    state = {key: torch.tensor(np.ascontiguousarray(array), device=values.device) for key, array in arrays.items()}
    if ONE in state:  # a plain number for SparseAdam, a tensor of the machine's memory for others
        sparse = isinstance(mover, torch.optim.SparseAdam)
        state[ONE] = int(state[ONE]) if sparse else state[ONE].to("cpu" if not _fused(mover) else values.device)
    mover.state[values] = state


def named(arrays: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


def chance() -> dict[str, Any]:
    """Return the state of torch's random numbers."""
    states = {"chance.cpu": torch.get_rng_state().numpy().copy()}
    if torch.cuda.is_available():
        states["chance.cuda"] = torch.cuda.get_rng_state().numpy().copy()
    return states


def restore_chance(arrays: Mapping[str, Any]) -> None:
    """Take back what ``chance`` returned."""
    torch.set_rng_state(torch.tensor(arrays["chance.cpu"]))
    if "chance.cuda" in arrays and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(arrays["chance.cuda"]))


def _fused(mover: Any) -> bool:
    return bool(mover.param_groups[0].get("fused"))


def _array(values: Any) -> Any:
    return values.detach().cpu().numpy().copy()
