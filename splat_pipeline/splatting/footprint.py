"""What a training of this package takes of the machine's memory, read off the arrays that it makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass

import numpy as np

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.memory import Footprint
from splat_pipeline.splatting import layout
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.harmonics import coefficients
from splat_pipeline.splatting.render import Workspace
from splat_pipeline.splatting.studio import Easel

MANY = 4096
SIDE = 256
COARSE = 1 / 4 + 1 / 16
"""Images of half and quarter resolution, that are alive together while the ones follow the others."""
ROOM = 5 / 4
"""Workspaces of pairs are made larger than asked for by this."""
FIXED = 155_000_000
"""The compiler, compiled kernels and what the first steps allocate besides: measured from before the import on."""


def footprint(degree: int) -> Footprint:
    """Return the figures of a training with harmonics up to ``degree``."""
    k = coefficients(degree)
    none = Gaussians(
        means=np.zeros((0, 3), np.float32),
        quats=np.zeros((0, 4), np.float32),
        log_scales=np.zeros((0, 3), np.float32),
        logit_opacities=np.zeros(0, np.float32),
        sh=np.zeros((0, k, 3), np.float32),
    )
    gaussians = held([Population.of(none, MANY), _room(gaussians=MANY)]) - held([Workspace()])
    pairs = held([_room(pairs=MANY)]) - held([Workspace()])
    return Footprint(
        image=3 * (1 + COARSE),
        pixel=held([Easel.of(SIDE, SIDE, deep=True, recolored=True)]) / SIDE**2,
        gaussian=gaussians / MANY,
        copied=4.0 * layout.width(k),
        pair=pairs / MANY + ROOM * 4 * layout.RECORD,
        fixed=FIXED,
    )


def held(things: Iterable[object]) -> int:
    """Return the bytes of all arrays in these dataclasses."""
    size = 0
    for thing in things:
        if isinstance(thing, np.ndarray):
            size += thing.nbytes
        elif is_dataclass(thing):
            size += held(getattr(thing, entry.name) for entry in fields(thing))
    return size


def _room(*, gaussians: int = 0, pairs: int = 0) -> Workspace:
    room = Workspace()
    room.reserve_gaussians(gaussians)
    room.reserve_pairs(pairs)
    return room
