"""Places that were seen twice, by windows that share no image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.alignment import Alignment, Piece, Shared, align
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.rigid import angle_deg, inverse

Float = NDArray[np.float64]

SURE_INLIERS = 30
"""Of a pair between windows: false ones were seen with 15 and 16."""
LEAST_PAIRS = 2
"""Of images, between two windows: one alone is no loop."""
HELD_OUT = 3
"""Every third pair of a loop is kept to judge the others by."""

TURN_SLACK_DEG = 0.5
"""By which the mean turn may grow: windows are bent by as much."""


@dataclass(kw_only=True, eq=False)
class Link:
    """What two pieces that share no image have in common: pairs of images that were matched."""

    first: Piece
    second: Piece
    pairs: list[MatchedPair] = field(default_factory=list)

    def shared(self, pairs: Sequence[MatchedPair]) -> Shared:
        """Return the points that both know, of some of the pairs."""
        shared, at = Shared(), self.first.positions
        for pair in pairs:
            ends = [(at[pair.first], pair.matches[:, 0]), (at[pair.second], pair.matches[:, 1])]
            (pos_a, keys_a), (pos_b, keys_b) = ends if ends[0][0] in self.first.poses else ends[::-1]
            shared.add((self.first, pos_a, keys_a.astype(np.int64)), (self.second, pos_b, keys_b.astype(np.int64)))
        return shared

    @property
    def held_out(self) -> list[MatchedPair]:
        """The pairs that judge; none where there are too few to spare one."""
        return self.pairs[1::HELD_OUT] if len(self.pairs) >= HELD_OUT else []

    @property
    def used(self) -> list[MatchedPair]:
        """The pairs that are fitted."""
        judges = {id(pair) for pair in self.held_out}
        return [pair for pair in self.pairs if id(pair) not in judges]


@dataclass(frozen=True, kw_only=True, eq=False)
class Loop:
    """One place seen twice: two images, and how the second should lie to the first."""

    first: int
    second: int
    inliers: int
    second_from_first: Float
    """(4, 4), in units of the first image's window."""
    window: Piece
    """Of the first image."""

    def gap(self, poses: Mapping[int, Float]) -> tuple[float, float] | None:
        """Return the residual rotation in degrees and the shift over the extent of all ``poses``; None without both."""
        inside = [at for at in self.window.poses if at in poses]
        if self.first not in poses or self.second not in poses or len(inside) < 2:
            return None
        scale = _reach([poses[at] for at in inside]) / _reach([self.window.poses[at] for at in inside])
        found = poses[self.second] @ inverse(poses[self.first])
        extent = float(np.linalg.norm(np.ptp(centers(np.stack(list(poses.values()))), axis=0)))
        shift = np.linalg.norm(found[:3, 3] - scale * self.second_from_first[:3, 3])
        return angle_deg(self.second_from_first[:3, :3].T @ found[:3, :3]), float(shift / max(extent, 1e-12))


def _reach(poses: Sequence[Float]) -> float:
    at = centers(np.stack(poses))
    return float(np.sqrt(((at - at.mean(0)) ** 2).sum(1).mean()))


def links_between(homes: Mapping[int, list[Piece]], pairs: Iterable[MatchedPair]) -> dict[tuple[int, int], Link]:
    """Return what ties windows without common images, by their ids, the smaller first."""
    links: dict[tuple[int, int], Link] = {}
    for pair in pairs:
        if pair.inliers < SURE_INLIERS or not homes:
            continue
        at = next(iter(homes.values()))[0].positions
        ends = [homes.get(at[name]) for name in (pair.first, pair.second)]
        if ends[0] is None or ends[1] is None or set(map(id, ends[0])) & set(map(id, ends[1])):
            continue
        a, b = sorted((ends[0][0], ends[1][0]), key=lambda piece: piece.window.window_id)
        if set(a.poses) & set(b.poses):
            continue
        key = (a.window.window_id, b.window.window_id)
        links.setdefault(key, Link(first=a, second=b)).pairs.append(pair)
    return {key: link for key, link in links.items() if len(link.pairs) >= LEAST_PAIRS}


def measured(link: Link, pairs: Sequence[MatchedPair], found: Alignment | None) -> list[Loop]:
    """Return ``pairs`` of a link as the alignment of its pieces has them; none without one."""
    if found is None:
        return []
    at, loops = link.first.positions, []
    for pair in pairs:
        ends = sorted((at[pair.first], at[pair.second]), key=lambda end: end not in link.first.poses)
        second = found.first_from_second.pose(link.second.poses[ends[1]])
        between = second @ inverse(link.first.poses[ends[0]])
        loop = Loop(first=ends[0], second=ends[1], inliers=pair.inliers, second_from_first=between, window=link.first)
        loops.append(loop)
    return loops


def judges(link: Link, found: Alignment | None, seed: int) -> list[Loop]:
    """Return the pairs that were held out, as they by themselves say; all pairs where none could be spared."""
    if not link.held_out:
        return measured(link, link.pairs, found)
    return measured(link, link.held_out, align(link.shared(link.held_out), seed=seed))


def improves(judged: Sequence[Sequence[Loop]], before: Mapping[int, Float], after: Mapping[int, Float]) -> bool:
    """Whether the shifts of the loops' gaps shrink on the mean, and the turns do not grow.

    The median of a loop counts: one by which two clips were joined has no gap before, however many pairs it has.
    """
    medians = []
    for loops in judged:
        gaps = [(loop.gap(before), loop.gap(after)) for loop in loops]
        known = [(b, a) for b, a in gaps if b is not None and a is not None]
        if known:
            medians.append(np.median(np.array(known), axis=0))
    if not medians:
        return False
    (old_turn, old_shift), (new_turn, new_shift) = np.mean(medians, axis=0)
    return bool(new_shift < old_shift and new_turn < old_turn + TURN_SLACK_DEG)
