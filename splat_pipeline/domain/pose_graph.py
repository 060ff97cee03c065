"""A graph of similarities: nodes are frames of reference, edges are measured maps between them.

Edges are of two kinds: ``sequential`` ones between frames that overlap, which are trusted, and loops, any of which may
be false. All frames must be scaled so that 1 is the size of what they hold: the bounds below are in that unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.relaxation import Frames, Problem
from splat_pipeline.domain.rigid import Similarity

Float = NDArray[np.float64]

SIGMA = np.array([0.02, *[0.01] * 3, *[0.02] * 3])
"""Of log scale, rotation in rad and translation: how much a window of a hundred images is bent."""
DRIFT_SCALE, DRIFT_RAD, DRIFT_SHIFT = 0.1, 0.05, 0.1
"""Per window, at most: a loop that asks for more is false."""
DRIFT_BEND = 0.03
"""Shift that grows with the square of the windows in between: a turn has a lever."""
OUTLIER = 1.0
"""What a loop may miss when all is optimised, over the drift of one window; the worst is dropped, and so on."""
Poses = dict[int, Similarity]


@dataclass(frozen=True, kw_only=True, eq=False)
class Edge:
    """``first_from_second``, measured."""

    first: int
    second: int
    first_from_second: Similarity
    inliers: int
    sequential: bool
    weight: float = 1.0
    """Of the residual; less than 1 where an end is suspect."""

    def reversed(self) -> Edge:
        """Return the same measurement from the other end."""
        return Edge(
            first=self.second,
            second=self.first,
            first_from_second=self.first_from_second.inverse(),
            inliers=self.inliers,
            sequential=self.sequential,
            weight=self.weight,
        )


def difference(measured: Similarity, found: Similarity) -> Float:
    """Return (7,): log of the ratio of scales, rotation vector, shift; in the frame that both map to."""
    turn = Rotation.from_matrix(measured.rotation.T @ found.rotation).as_rotvec()
    shift = found.translation - measured.translation
    return np.concatenate([[np.log(found.scale / measured.scale)], turn, shift])


def excess(gap: Float, windows: int) -> float:
    """Return a cycle's ``difference`` over what drift of so many windows can do: above 1 an edge of it is false."""
    n = max(1, windows)
    shift = DRIFT_SHIFT * n + DRIFT_BEND * n * n
    return float(
        max(
            abs(gap[0]) / (DRIFT_SCALE * n),
            np.linalg.norm(gap[1:4]) / (DRIFT_RAD * n),
            np.linalg.norm(gap[4:]) / shift,
        )
    )


def spread(edges: Sequence[Edge], root: int) -> tuple[Poses, Mapping[int, int]]:
    """Return root_from_node for all that sequential edges reach from ``root``, and how many edges away each is."""
    poses, away, todo = {root: Similarity.identity()}, {root: 0}, [root]
    links: dict[int, list[Edge]] = {}
    for edge in edges:
        if edge.sequential:
            links.setdefault(edge.first, []).append(edge)
            links.setdefault(edge.second, []).append(edge.reversed())
    while todo:
        here = todo.pop(0)
        for edge in sorted(links.get(here, []), key=lambda each: -each.inliers):
            if edge.second not in poses:
                poses[edge.second] = poses[here] @ edge.first_from_second
                away[edge.second] = away[here] + 1
                todo.append(edge.second)
    return poses, away


def consistent_loops(edges: Sequence[Edge]) -> list[Edge]:
    """Return the loops that drift can explain, each against the chain and all against each other.

    The heaviest set by inliers that greedy search finds; pairwise consistency as in Mangelson et al. 2018.
    """
    nodes = sorted({node for edge in edges for node in (edge.first, edge.second)})
    trees = {node: spread(edges, node) for node in nodes}
    loops = [e for e in edges if not e.sequential and _closes(e, trees)]
    loops.sort(key=lambda e: -e.inliers)
    agree = [[i == j or _agree(a, b, trees) for j, b in enumerate(loops)] for i, a in enumerate(loops)]
    best: list[int] = []
    for start in range(len(loops)):
        chosen = [start]
        chosen += [j for j in range(len(loops)) if j != start and all(agree[i][j] for i in [*chosen])]
        chosen = [j for k, j in enumerate(chosen) if all(agree[i][j] for i in chosen[:k])]
        if _inliers(loops, chosen) > _inliers(loops, best):
            best = chosen
    return [loops[i] for i in sorted(best)]


Trees = Mapping[int, tuple[Poses, Mapping[int, int]]]


def _inliers(loops: Sequence[Edge], chosen: Sequence[int]) -> int:
    return sum(loops[i].inliers for i in chosen)


def _closes(loop: Edge, trees: Trees) -> bool:
    """Whether drift along the chain can explain the loop; a loop between chains is all there is to join them."""
    poses, away = trees[loop.first]
    if loop.second not in poses:
        return True
    return excess(difference(loop.first_from_second, poses[loop.second]), away[loop.second]) <= 1


def _agree(a: Edge, b: Edge, trees: Trees) -> bool:
    for other in (b, b.reversed()):
        start, from_start = trees[a.first]
        end, from_end = trees[a.second]
        if other.first in start and other.second in end:
            around = start[other.first] @ other.first_from_second @ end[other.second].inverse()
            windows = from_start[other.first] + from_end[other.second] + 1
            return excess(difference(a.first_from_second, around), windows) <= 1
    return True


def connected(edges: Sequence[Edge], root: int) -> Poses:
    """Return root_from_node over sequential edges, and over loops, most inliers first, where those end."""
    poses, _ = spread(edges, root)
    while True:
        bridges = [e if e.first in poses else e.reversed() for e in edges if (e.first in poses) != (e.second in poses)]
        if not bridges:
            return poses
        best = max(bridges, key=lambda each: each.inliers)
        beyond, _ = spread(edges, best.second)
        start = poses[best.first] @ best.first_from_second
        poses |= {node: start @ pose for node, pose in beyond.items() if node not in poses}


def optimised(start: Poses, edges: Sequence[Edge], root: int) -> Poses:
    """Return the poses that fit all ``edges`` best (soft-L1), ``root`` held where it is."""
    inside = [e for e in edges if e.first in start and e.second in start]
    if not inside:
        return dict(start)
    nodes = list(start)
    row_of = {node: i for i, node in enumerate(nodes)}
    problem = Problem(
        first=np.array([row_of[e.first] for e in inside]),
        second=np.array([row_of[e.second] for e in inside]),
        measured=Frames.of([e.first_from_second for e in inside]),
        weight=np.array([e.weight for e in inside])[:, None] / SIGMA,
        free=np.repeat([node != root for node in nodes], 7),
    )
    frames = problem.relaxed(Frames.of([start[node] for node in nodes]))
    return dict(zip(nodes, frames.similarities(), strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Closed:
    """What the graph gave."""

    before: Poses
    """By the chain alone, root_from_node, of all nodes that are connected with the root."""
    after: Poses
    loops: Sequence[Edge]
    """That were believed."""


def close_loops(edges: Sequence[Edge], root: int) -> Closed:
    """Find the loops to believe and the poses that fit them and the chain."""
    chain = [e for e in edges if e.sequential]
    loops = consistent_loops(edges)
    while True:
        before = connected([*chain, *loops], root)
        after = optimised(before, [*chain, *loops], root)
        worst = max((e for e in loops if e.first in after), key=lambda e: _residual(e, after), default=None)
        if worst is None or _residual(worst, after) <= OUTLIER:
            return Closed(before=before, after=after, loops=loops)
        loops.remove(worst)


def _residual(edge: Edge, poses: Poses) -> float:
    return excess(difference(edge.first_from_second, poses[edge.first].inverse() @ poses[edge.second]), 1)
