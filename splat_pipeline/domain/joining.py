"""From the windows of a job to one pose an image: align, close loops, say what was believed and what was not.

Images are counted by their position in the job, in order of clip and time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.alignment import SUSPECT_WEIGHT, Alignment, Piece, Shared, align, overlap_of, suspects
from splat_pipeline.domain.errors import NoReconstruction
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.pose_graph import Closed, Edge, Poses, close_loops
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """All windows that could be brought into one frame."""

    poses: dict[int, Float]
    """(4, 4) cam_from_world by position."""
    before: dict[int, Float]
    """The same by the chain of windows alone."""
    pieces: Sequence[Piece]
    """That are in it."""
    alignments: Poses
    """world_from_window by window_id."""
    shared: Mapping[int, int]
    """Points by which each window is fixed."""
    loops: Sequence[Loop]
    disbelieved: Sequence[MatchedPair]
    """Verified pairs that contradict all the rest: not to be triangulated."""
    suspects: Mapping[int, str]
    closed: bool
    """Loops were found, believed and made the gaps of pairs that were held out smaller."""


def join(pieces: Sequence[Piece], pairs: Sequence[MatchedPair], *, seed: int) -> Joined:
    """Bring windows into one frame. Windows that nothing ties to the largest group are left out.

    Raises ``NoReconstruction`` without any piece.
    """
    if not pieces:
        raise NoReconstruction("no window has a model")
    by_id = {piece.window.window_id: piece for piece in pieces}
    doubtful = suspects(pieces, pairs)
    homes = _homes(pieces, doubtful)
    chain = _chain(pieces, seed)
    links = _links(homes, pairs)
    ties = {key: align(link.shared(link.used), seed=seed) for key, link in links.items()}
    edges = [_edge(by_id, key, found, doubtful, sequential=True) for key, found in chain.items()]
    edges += [_edge(by_id, key, found, doubtful, sequential=False) for key, found in ties.items() if found is not None]
    closed = _largest(edges, by_id)
    believed = {(edge.first, edge.second) for edge in closed.loops}
    loops = [loop for key in sorted(believed) for loop in _measured(links[key], links[key].pairs, ties[key])]
    judges = [_judges(links[key], ties[key], seed) for key in sorted(believed)]
    before, after = (_placed(homes, _worlds(by_id, poses)) for poses in (closed.before, closed.after))
    improved = bool(loops) and _improves(judges, before, after)
    worlds = _worlds(by_id, closed.after if improved else closed.before)
    inside = [piece for piece in pieces if piece.window.window_id in worlds]
    tied = chain | {key: found for key, found in ties.items() if found is not None and key in believed}
    return Joined(
        poses=after if improved else before,
        before=before,
        pieces=inside,
        alignments=worlds,
        shared={i: sum(found.inliers for key, found in tied.items() if i in key) for i in worlds},
        loops=loops,
        disbelieved=[pair for key, link in links.items() if key not in believed for pair in link.pairs],
        suspects=doubtful,
        closed=improved,
    )


def _homes(pieces: Sequence[Piece], doubtful: Mapping[int, str]) -> dict[int, list[Piece]]:
    """Return the pieces of each image, best first: not suspect, and the image far from the window's ends."""
    found: dict[int, list[Piece]] = {}
    for piece in pieces:
        for at in piece.poses:
            found.setdefault(at, []).append(piece)
    return {
        at: sorted(each, key=lambda p: (p.window.window_id in doubtful, -p.is_central(at)))
        for at, each in sorted(found.items())
    }


def _chain(pieces: Sequence[Piece], seed: int) -> dict[tuple[int, int], Alignment]:
    """Return the alignments of pieces that have images in common."""
    found = {}
    for a, b in combinations(pieces, 2):
        if set(a.poses) & set(b.poses):
            aligned = align(overlap_of(a, b), seed=seed)
            if aligned is not None:
                found[a.window.window_id, b.window.window_id] = aligned
    return found


def _links(homes: Mapping[int, list[Piece]], pairs: Iterable[MatchedPair]) -> dict[tuple[int, int], Link]:
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


def _edge(
    by_id: Mapping[int, Piece], key: tuple[int, int], found: Alignment, doubtful: Mapping[int, str], *, sequential: bool
) -> Edge:
    """Return the edge between frames in which each window has the size 1."""
    a, b = (by_id[i].window_from_unit for i in key)
    return Edge(
        first=key[0],
        second=key[1],
        first_from_second=a.inverse() @ found.first_from_second @ b,
        inliers=found.inliers,
        sequential=sequential,
        weight=min(1.0, float(np.sqrt(found.inliers / 200))) * SUSPECT_WEIGHT ** sum(i in doubtful for i in key),
    )


def _largest(edges: Sequence[Edge], by_id: Mapping[int, Piece]) -> Closed:
    """Return the group of windows that holds most images."""
    groups: list[Closed] = []
    for root in sorted(by_id):
        if not any(root in group.before for group in groups):
            groups.append(close_loops(edges, root))
    return max(groups, key=lambda group: len(set().union(*(by_id[node].poses for node in group.before))))


def _worlds(by_id: Mapping[int, Piece], poses: Poses) -> Poses:
    return {i: pose @ by_id[i].window_from_unit.inverse() for i, pose in sorted(poses.items())}


def _placed(homes: Mapping[int, list[Piece]], worlds: Poses) -> dict[int, Float]:
    """Return the pose of each image by the best of its windows that is in the group."""
    out = {}
    for at, pieces in homes.items():
        inside = [piece for piece in pieces if piece.window.window_id in worlds]
        if inside:
            out[at] = worlds[inside[0].window.window_id].pose(inside[0].poses[at])
    return out


def _measured(link: Link, pairs: Sequence[MatchedPair], found: Alignment | None) -> list[Loop]:
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


def _judges(link: Link, found: Alignment | None, seed: int) -> list[Loop]:
    """Return the pairs that were held out, as they by themselves say; all pairs where none could be spared."""
    if not link.held_out:
        return _measured(link, link.pairs, found)
    return _measured(link, link.held_out, align(link.shared(link.held_out), seed=seed))


def _improves(judges: Sequence[Sequence[Loop]], before: Mapping[int, Float], after: Mapping[int, Float]) -> bool:
    """Whether the shifts of the loops' gaps shrink on the mean, and the turns do not grow.

    The median of a loop counts: one by which two clips were joined has no gap before, however many pairs it has.
    """
    medians = []
    for loops in judges:
        gaps = [(loop.gap(before), loop.gap(after)) for loop in loops]
        known = [(b, a) for b, a in gaps if b is not None and a is not None]
        if known:
            medians.append(np.median(np.array(known), axis=0))
    if not medians:
        return False
    (old_turn, old_shift), (new_turn, new_shift) = np.mean(medians, axis=0)
    return bool(new_shift < old_shift and new_turn < old_turn + TURN_SLACK_DEG)


def loop_rows(joined: Joined, final: Mapping[int, Float], keyframe_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return rows of ``tables.LOOPS``: gaps by the chain alone, and as all ended."""
    rows = []
    for loop in joined.loops:
        before, after = loop.gap(joined.before), loop.gap(final)
        rows.append(
            {
                "first": int(keyframe_ids[loop.first]),
                "second": int(keyframe_ids[loop.second]),
                "inliers": loop.inliers,
                "rotation_before_deg": None if before is None else before[0],
                "translation_before": None if before is None else before[1],
                "rotation_after_deg": None if after is None else after[0],
                "translation_after": None if after is None else after[1],
            }
        )
    return rows


def common_cameras(pieces: Sequence[Piece]) -> dict[int, ColmapCamera]:
    """Return the median of what the windows found of each camera's intrinsics."""
    found: dict[int, list[ColmapCamera]] = {}
    for piece in pieces:
        for camera_id in {image.camera_id for image in piece.model.images.values()}:
            found.setdefault(camera_id, []).append(piece.model.cameras[camera_id])
    medians = {
        camera_id: tuple(float(v) for v in np.median([camera.params for camera in each], axis=0))
        for camera_id, each in found.items()
    }
    return {i: replace(found[i][0], params=medians[i]) for i in sorted(found)}
