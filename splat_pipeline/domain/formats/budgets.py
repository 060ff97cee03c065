"""Making a file fit: coarser numbers, fewer harmonics, fewer Gaussians, whichever costs the pictures least.

N Gaussians. For every degree of harmonics and every fineness that a format lets its writer choose, as many Gaussians
are kept as the budget has room for, those that contribute most; of these candidates the one is taken whose pictures are
nearest to those of all of them. ``formats.parquet`` says what each format's costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.gaussians import Gaussians

Write = Callable[[Path, Gaussians, int], None]
"""With how coarse: see ``files.Format.coarser``."""
Score = Callable[[Path], float]
"""PSNR in dB of pictures of what is read from a file."""
_ROUNDS, _STEP = 6, 0.97


@dataclass(frozen=True, kw_only=True, eq=False)
class Budget:
    """How large a file may be, and who goes last."""

    most_bytes: int
    weights: NDArray[np.float32]
    """(N,) contribution of each Gaussian: see ``domain/cleaning.py``."""

    def fit(
        self, gaussians: Gaussians, path: Path, write: Write, score: Score | None, *, coarsest: int = 0
    ) -> tuple[Gaussians, int]:
        """Write ``path``, of at most ``most_bytes``; return the Gaussians in it, in their order, and how coarse it is.

        Without ``score`` the candidate with most Gaussians is taken, then that with most harmonics, then the finest.
        Raises ``InputError`` where not even a hundredth of the Gaussians fits.
        """
        write(path, gaussians, 0)
        if path.stat().st_size <= self.most_bytes:
            return gaussians, 0
        order = np.argsort(-self.weights, kind="stable")
        found: list[tuple[float, int, int, Gaussians]] = []
        for degree in range(gaussians.sh_degree, -1, -1):
            for coarse in range(coarsest + 1):
                kept = self._cut(gaussians.lowered(degree), order, path, partial(_write_at, write, coarse))
                if kept is not None:
                    found.append((score(path) if score else len(kept), degree, -coarse, kept))
                    if len(kept) == len(gaussians):
                        break  # coarser would only be worse
        if not found:
            told = f"{len(gaussians)} Gaussians do not fit into {self.most_bytes} bytes as {path.suffix}"
            raise InputError(told, remedy="Raise exports.max_bytes, or leave this format out of exports.formats.")
        _, _, finer, best = max(found, key=lambda candidate: candidate[:3])
        write(path, best, -finer)
        return best, -finer

    def _cut(
        self, lowered: Gaussians, order: NDArray[np.int64], path: Path, write: Callable[[Path, Gaussians], None]
    ) -> Gaussians | None:
        """Write as many as fit, those of most contribution; None where hardly any does."""
        kept = lowered
        write(path, kept)
        for _ in range(_ROUNDS):
            size = path.stat().st_size
            if size <= self.most_bytes:
                return kept
            count = int(len(kept) * self.most_bytes / size * _STEP)
            if count < len(lowered) / 100:
                return None
            kept = lowered.take(np.sort(order[:count]))
            write(path, kept)
        return None


def _write_at(write: Write, coarse: int, path: Path, gaussians: Gaussians) -> None:
    write(path, gaussians, coarse)


def left_out(want: Gaussians, kept: Gaussians, coarser: str | None = None) -> str | None:
    """Return what a budget left out, in words; None: nothing. ``coarser``: how numbers were written, if not finely."""
    told = [f"harmonics above degree {kept.sh_degree}"] if kept.sh_degree < want.sh_degree else []
    if len(kept) < len(want):
        told.append(f"the {len(want) - len(kept):,} least seen of {len(want):,} Gaussians")
    told = [" and ".join(told)] if told else []
    return "; ".join([*told, *([f"written with {coarser}"] if coarser else [])]) or None
