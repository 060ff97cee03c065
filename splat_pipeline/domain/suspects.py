"""Windows that may be bent: what speaks against each.

Reprojection errors do not show it. The signs are views of one plane or of a camera that only turns, where matches leave
the shape open; errors far above the other windows'; and points that lie elsewhere by the windows next to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from splat_pipeline.domain.alignment import Alignment, Piece, overlaps
from splat_pipeline.domain.matches import FLAT, MatchedPair
from splat_pipeline.domain.poses import rms_px

FLAT_SHARE = 0.6
"""Of the neighbouring views of a window."""
ERROR_RATIO = 2.5
"""Times the median of the other windows' reprojection errors."""
AGREEING_SHARE = 0.5
"""Of the points that two windows both know, those that one similarity brings together."""

Overlaps = Mapping[tuple[int, int], Alignment | None]


def doubts(pieces: Sequence[Piece], pairs: Iterable[MatchedPair], *, seed: int) -> dict[int, str]:
    """Return the windows that may be bent, by window_id, with all that speaks against each."""
    found = disagreeing(overlaps(pieces, seed=seed))
    for window_id, reason in suspects(pieces, pairs).items():
        found[window_id] = f"{found[window_id]}; {reason}" if window_id in found else reason
    return dict(sorted(found.items()))


def suspects(pieces: Iterable[Piece], pairs: Iterable[MatchedPair]) -> dict[int, str]:
    """Return the windows, by window_id, whose own views or error speak against them, with the reason."""
    listed = list(pieces)
    flat = {piece.window.window_id: [0, 0] for piece in listed}
    for pair in pairs:
        for piece in listed:
            inside = all(piece.positions[name] in piece.poses for name in (pair.first, pair.second))
            if inside and pair.inliers and not pair.far:
                flat[piece.window.window_id][0] += pair.config in FLAT
                flat[piece.window.window_id][1] += 1
    found = {}
    errors = {piece.window.window_id: rms_px(piece.model) for piece in listed}
    for window_id, (plane, all_of) in flat.items():
        others = [error for other, error in errors.items() if other != window_id]
        if all_of and plane > FLAT_SHARE * all_of:
            found[window_id] = f"{100 * plane / all_of:.0f} % of its neighbouring views differ by a homography only"
        elif others and errors[window_id] > ERROR_RATIO * float(np.median(others)):
            found[window_id] = f"its error is {errors[window_id]:.2f} px, the other windows' {np.median(others):.2f} px"
    return found


def disagreeing(found: Overlaps) -> dict[int, str]:
    """Return the fewest windows that explain all overlaps that do not fit, worst first, with the reason.

    Of two windows that clash, the one that clashes with more others is to blame; of equals, the one whose overlaps fit
    less well altogether.
    """
    shares = {key: 0.0 if each is None else each.inliers / each.shared for key, each in found.items()}
    clashing = {key for key, share in shares.items() if share < AGREEING_SHARE}
    blamed = {}
    while clashing:
        counts = Counter(window_id for key in clashing for window_id in key)
        means = {i: float(np.mean([share for key, share in shares.items() if i in key])) for i in counts}
        worst = max(counts, key=lambda i: (counts[i], -means[i], i))
        mine = {key for key in clashing if worst in key}
        others = sorted(i for key in mine for i in key if i != worst)
        share = max(shares[key] for key in mine)
        blamed[worst] = (
            f"{100 * share:.0f} % of the points that it shares with window {_listed(others)} lie at the same place"
        )
        clashing -= mine
    return blamed


def _listed(ids: Sequence[int]) -> str:
    return " and ".join(map(str, ids))
