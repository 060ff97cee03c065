"""What is tried after an attempt at a reconstruction: how it failed decides.

A signature says in one word what an attempt looked like. Each has its row of rungs, best first; a rung that was tried,
or that this backend or recipe does not offer, is passed over. A rung is the name of a strategy: mapper, dash, change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

WANTED_SHARE = 0.95
"""Of the images: the search ends."""
GOOD_SHARE = 0.8
"""Of the images: only joining what is missing is still tried (nerfstudio calls less weak)."""
FEW_FEATURES = 500
"""An image, in the middle: blurred, or nothing to see. Sharp textured pictures have thousands."""
LINKED_SHARE = 0.7
"""Of images next to each other that match: below, the overlap is lost somewhere."""
FLAT_SHARE = 0.6
"""Of the verified pairs that one plane or one turn explains: no parallax to start from."""


class Signature(StrEnum):
    """How an attempt ended."""

    ENOUGH = "enough"
    GOOD = "good"
    COMPONENTS = "components"
    PARTIAL = "partial"
    FLAT = "no parallax"
    FEATURELESS = "few features"
    UNLINKED = "low overlap"
    NOTHING = "no model"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crashed"


JOIN, ANEW = "incremental-join", "incremental-other"
NEXT: dict[Signature, tuple[str, ...]] = {
    Signature.ENOUGH: (),
    Signature.GOOD: (JOIN,),
    Signature.COMPONENTS: (JOIN, "global-wide", "incremental-wide", "incremental", "incremental-rich"),
    Signature.PARTIAL: (JOIN, "incremental", "global-wide", "incremental-wide", "incremental-rich"),
    Signature.FLAT: ("incremental", "incremental-other"),
    Signature.FEATURELESS: ("incremental-rich", JOIN, "incremental", "incremental-wide"),
    Signature.UNLINKED: ("global-wide", JOIN, "incremental-wide", "incremental-rich", "incremental"),
    Signature.NOTHING: ("incremental", "incremental-wide", "incremental-other", "incremental-rich"),
    Signature.TIMEOUT: ("global", "incremental", JOIN),
    Signature.MEMORY: ("incremental", "global", JOIN),
    Signature.CRASH: ("incremental", "global", "incremental-wide", "incremental-other", JOIN),
}
"""A wider search comes after one that ended by itself only: it takes more time and memory."""
HEAVY = ("wide", "rich")
FAULTS = {"timeout": Signature.TIMEOUT, "memory": Signature.MEMORY, "crashed": Signature.CRASH}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What an attempt showed. What was not measured, because the child died, is None."""

    outcome: str
    """model, failed, crashed, timeout or memory."""
    registered: int
    models: int
    features: float | None = None
    """Median an image."""
    linked: float | None = None
    """Share of images next to each other, of one clip, that match."""
    flat: float | None = None
    """Share of verified pairs that one plane or one turn explains."""


def signature_of(seen: Evidence, images: int) -> Signature:
    """Return what ``seen`` looks like on so many images: the first of these that holds."""
    cases = (
        (seen.registered >= WANTED_SHARE * images, Signature.ENOUGH),
        (seen.registered >= GOOD_SHARE * images, Signature.GOOD),
        (seen.outcome in FAULTS, FAULTS.get(seen.outcome, Signature.CRASH)),
        (_below(seen.features, FEW_FEATURES), Signature.FEATURELESS),
        (seen.models > 1, Signature.COMPONENTS),
        (_below(seen.linked, LINKED_SHARE), Signature.UNLINKED),
        (seen.models == 1, Signature.PARTIAL),
        (_below(FLAT_SHARE, seen.flat), Signature.FLAT),
    )
    return next((signature for holds, signature in cases if holds), Signature.NOTHING)


def another_way(tried: Sequence[str], kept: str, offered: Sequence[str]) -> str | None:
    """Return how to redo a window whose model is doubted: by another mapper, or else from another start; None if tried.

    More matches of the same views do not straighten a bent window, so neither wider nor richer rungs are asked for.
    """
    mapper = kept.split("-", maxsplit=1)[0]
    other = [rung for rung in offered if "-" not in rung and rung != mapper]
    rungs = (rung for rung in (*other, ANEW) if rung in offered and rung not in tried)
    return next(rungs, None)


def _below(value: float | None, bound: float | None) -> bool:
    return value is not None and bound is not None and value < bound


def is_joinable(rungs: Sequence[str], best: int | None) -> bool:
    """Say whether the best of the attempts left a model to go on from, and nobody did yet.

    A model made of other features than the job's cannot be gone on from: its keypoints are not those of the matches.
    """
    return best is not None and not rungs[best].endswith("-rich") and JOIN not in rungs[best:]


def next_rung(history: Sequence[tuple[str, Signature]], offered: Collection[str], *, joinable: bool) -> str | None:
    """Return what to try next, None when nothing is left.

    ``history``: (rung, signature) of the attempts so far. ``joinable``: see ``is_joinable``. The best signature so far
    decides, not the last: a rung that made things worse says little.
    """
    if not history:
        return next(iter(offered), None)
    tried = {rung for rung, _ in history} - {JOIN}
    seen = [signature for _, signature in history]
    short = Signature.TIMEOUT in seen or Signature.MEMORY in seen
    telling = min(seen, key=list(Signature).index)
    for rung in NEXT[telling]:
        heavy = short and rung.rsplit("-", maxsplit=1)[-1] in HEAVY
        if rung in offered and rung not in tried and not heavy and (joinable or rung != JOIN):
            return rung
    return None
