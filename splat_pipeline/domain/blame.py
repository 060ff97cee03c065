"""Why no attempt at a reconstruction gave a model: the class of failure that its attempts tell of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splat_pipeline.domain.errors import (
    LowOverlap,
    NoParallax,
    NoReconstruction,
    NoTexture,
    OutOfMemory,
    SplatError,
    ToolCrashed,
    ToolTimeout,
)
from splat_pipeline.domain.rescue import Signature

CLASSES: dict[Signature, type[SplatError]] = {
    Signature.FLAT: NoParallax,
    Signature.FEATURELESS: NoTexture,
    Signature.UNLINKED: LowOverlap,
    Signature.TIMEOUT: ToolTimeout,
    Signature.MEMORY: OutOfMemory,
    Signature.CRASH: ToolCrashed,
}
"""By what the telling attempt looked like; any other is ``NoReconstruction``."""


def no_model(attempts: Sequence[Mapping[str, Any]]) -> SplatError:
    """Return the error of a job none of whose windows has a model. ``attempts``: rows of ``tables.ATTEMPTS``, all.

    The first in the order of ``Signature`` counts, as on the ladder: what the footage shows tells more than how a
    program ended, so that a crash, a time-out or a lack of memory is the class only where it is all that was seen.
    """
    order = list(Signature)
    seen = sorted({Signature(row["signature"]) for row in attempts}, key=order.index)
    telling = seen[0] if seen else Signature.NOTHING
    tried = (
        "; ".join(f"{row['strategy']}: {row['outcome']}, {row['signature']}" for row in attempts) or "nothing was tried"
    )
    return CLASSES.get(telling, NoReconstruction)(f"no model was found: {tried}")
