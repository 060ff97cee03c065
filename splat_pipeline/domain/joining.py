"""From the windows of a job to one pose an image: align, close loops, say what was believed and what was not.

Images are counted by their position in the job, in order of clip and time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.alignment import Alignment, Piece, align, overlaps
from splat_pipeline.domain.errors import NoReconstruction
from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.loops import Loop, improves, judges, links_between, measured
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.pose_graph import Closed, Edge, Poses, close_loops
from splat_pipeline.domain.suspects import disagreeing, suspects

Float = NDArray[np.float64]

SUSPECT_WEIGHT = 0.2
"""Of an edge of a window that may be bent, but is needed."""


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
    """Windows that may be bent: believed less."""
    dropped: Mapping[int, str]
    """Windows that contradict the others, which hold together without them."""
    closed: bool
    """Loops were found, believed and made the gaps of pairs that were held out smaller."""


def join(pieces: Sequence[Piece], pairs: Sequence[MatchedPair], *, seed: int) -> Joined:
    """Bring windows into one frame. Windows that nothing ties to the largest group are left out.

    So are, one by one, windows that lie otherwise than their neighbours say, where the rest is not torn by that: no
    graph of similarities can straighten a bent window. Raises ``NoReconstruction`` without any piece.
    """
    if not pieces:
        raise NoReconstruction("no window has a model")
    by_id = {piece.window.window_id: piece for piece in pieces}
    aligned = overlaps(pieces, seed=seed)
    clashing = disagreeing(aligned)
    doubtful = suspects(pieces, pairs) | clashing
    homes = _homes(pieces, doubtful)
    chain = {key: found for key, found in aligned.items() if found is not None}
    links = links_between(homes, pairs)
    ties = {key: align(link.shared(link.used), seed=seed) for key, link in links.items()}
    edges = [_edge(by_id, key, found, doubtful, sequential=True) for key, found in chain.items()]
    edges += [_edge(by_id, key, found, doubtful, sequential=False) for key, found in ties.items() if found is not None]
    spare = _spare(list(clashing), edges, by_id)
    if spare is not None:
        rest = join([piece for i, piece in by_id.items() if i != spare], pairs, seed=seed)
        return replace(rest, dropped={spare: clashing[spare], **rest.dropped})
    closed = _largest(edges, by_id)
    believed = {(edge.first, edge.second) for edge in closed.loops}
    loops = [loop for key in sorted(believed) for loop in measured(links[key], links[key].pairs, ties[key])]
    judged = [judges(links[key], ties[key], seed) for key in sorted(believed)]
    before, after = (_placed(homes, _worlds(by_id, poses)) for poses in (closed.before, closed.after))
    improved = bool(loops) and improves(judged, before, after)
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
        dropped={},
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


def _spare(clashing: Sequence[int], edges: Sequence[Edge], by_id: Mapping[int, Piece]) -> int | None:
    """Return the first clashing window without which as many of the others hang together; None where there is none."""
    ties = [(edge.first, edge.second) for edge in edges]
    whole = _most_connected(ties, set(by_id))
    for window_id in clashing:
        if whole - {window_id} <= _most_connected(ties, set(by_id) - {window_id}):
            return window_id
    return None


def _most_connected(ties: Sequence[tuple[int, int]], nodes: set[int]) -> set[int]:
    """Return the largest set of ``nodes`` that are tied to one another."""
    groups: list[set[int]] = []
    for node in sorted(nodes):
        group, new = set[int](), {node}
        while new:
            group |= new
            new = {i for tie in ties if group & set(tie) for i in tie if i in nodes} - group
        groups.append(group)
    return max(groups, key=len, default=set())


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
