"""How much memory a training takes, and what resolution and number of Gaussians fit into what there is.

n images of W x H pixels, N Gaussians at most, T = ceil(W / 16) ceil(H / 16) tiles. In bytes, where the letters b stand
for a ``Footprint``'s figures:

    images      n W H b_image            as they came, and what coarser ones are alive beside them
    easel       W H b_pixel (1 + 1/4 + 1/16)   one at each of the three resolutions
    Gaussians   N b_gaussian             rows, both moments, scores, workspace
    copy        N b_copied               the largest copy that is made in passing: pruning, handing over
    pairs       b_pair PAIRS sqrt(N T)   a tile with a Gaussian that it shows: lists and records
    fixed       b_fixed                  compiled kernels, what a first step allocates

The square root was measured: a Gaussian covers more tiles the fewer there are of it (from 5,000 to 40,000 Gaussians and
from 40 to 510 tiles, pairs were 19 to 24 times the root where half of the Gaussians were in view).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

from splat_pipeline.domain.plans import CPU_LADDER, Detail, Rung, TrainingPlan

TILE_PX = 16
PAIRS = 30.0
LEVELS = 1 + 1 / 4 + 1 / 16
SPARE = 0.8
"""Share of the free memory that a training may be planned to take: the estimate is good to a quarter."""
STEPS = tuple(2 ** (-i / 4) for i in range(13))
"""Shares of the plan's resolution and of its Gaussians that are looked at: 1 to an eighth."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What one kind of trainer takes of one kind of memory, in bytes: see above."""

    image: float
    pixel: float
    gaussian: float
    copied: float
    pair: float
    fixed: float


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The images of a training, as large as they are before a plan makes them smaller."""

    count: int
    width_px: int
    height_px: int

    def at_most(self, longer_side_px: int) -> Pictures:
        """Return them made smaller so that the longer side has at most so many pixels."""
        scale = min(1.0, longer_side_px / max(self.width_px, self.height_px))
        width, height = (max(1, round(side * scale)) for side in (self.width_px, self.height_px))
        return replace(self, width_px=width, height_px=height)


def estimate(pictures: Pictures, gaussians: int, of: Footprint) -> int:
    """Return the bytes that a training takes on top of what the process has."""
    pixels = pictures.width_px * pictures.height_px
    tiles = math.ceil(pictures.width_px / TILE_PX) * math.ceil(pictures.height_px / TILE_PX)
    return round(
        pictures.count * pixels * of.image
        + pixels * of.pixel * LEVELS
        + gaussians * (of.gaussian + of.copied)
        + of.pair * PAIRS * math.sqrt(gaussians * tiles)
        + of.fixed
    )


def loss_db(resolution: float, gaussians: float) -> float:
    """Return about how many dB a training loses with these shares of its plan's resolution and Gaussians.

    Of Gaussians, on one scene with 10,000 to 100,000 of them: half cost 0.1, a third 0.2, a tenth 1.4 dB. Of the
    resolution, on another, seen at the full one of 480 px: half cost 2.6, a quarter 7.4 dB.
    """
    return float(0.1 * (1 / gaussians - 1) ** 1.2 + 2.6 * math.log2(1 / resolution) ** 1.5)


def fitted(
    plan: TrainingPlan,
    pictures: Pictures,
    of: Footprint,
    free_bytes: int,
    *,
    kind: str = "memory",
    ladder: dict[Detail, Rung] = CPU_LADDER,
) -> TrainingPlan:
    """Return ``plan``, or with less resolution and fewer Gaussians, and the reason, where it does not fit.

    Of all combinations of ``STEPS`` that fit into ``SPARE`` of ``free_bytes`` the one with the least ``loss_db`` is
    taken; where none fits, the smallest. Its detail is that of the highest rung that it does not fall below.
    """
    at_first = pictures.at_most(plan.longer_side_px)
    room = SPARE * free_bytes
    wanted = estimate(at_first, plan.max_gaussians, of)
    if wanted <= room:
        return plan
    side = max(at_first.width_px, at_first.height_px)

    def needs(shares: tuple[float, float]) -> int:
        return estimate(pictures.at_most(round(side * shares[0])), round(plan.max_gaussians * shares[1]), of)

    fitting = [shares for shares in product(STEPS, STEPS) if needs(shares) <= room]
    chosen = min(fitting, key=lambda shares: loss_db(*shares)) if fitting else (STEPS[-1], STEPS[-1])
    lower = replace(plan, longer_side_px=round(side * chosen[0]), max_gaussians=round(plan.max_gaussians * chosen[1]))
    reason = (
        f"{kind}: {_spoken(wanted)} wanted for {at_first.count} images of {side} px and {plan.max_gaussians} "
        f"Gaussians, {_spoken(free_bytes)} free: {lower.longer_side_px} px and {lower.max_gaussians} Gaussians take "
        f"{_spoken(needs(chosen))}"
    )
    return replace(lower, detail=_detail(lower, ladder)).because(reason)


def _detail(plan: TrainingPlan, ladder: dict[Detail, Rung]) -> Detail:
    """Return the lowest detail, from the plan's down, whose rung the plan does not exceed."""
    detail = plan.detail
    while (below := detail.below) is not None:
        rung = ladder[below]
        if plan.longer_side_px > rung.longer_side_px or plan.max_gaussians > rung.max_gaussians:
            break
        detail = below
    return detail


def _spoken(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
