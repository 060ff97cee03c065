"""The formats that a splat is delivered in: written, read back, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.budgets import Budget, Judge, left_out
from splat_pipeline.domain.formats.files import FORMATS, Format
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.exports import box_error
from splat_pipeline.domain.metrics.splats import nan_share

Compare = Callable[[Gaussians], float]
"""PSNR in dB of pictures of Gaussians against those of the originals."""


def export(  # by name
    gaussians: Gaussians,
    folder: Path,
    *,
    stem: str,
    formats: Sequence[str],
    comments: Sequence[str] = (),
    compare: Compare | None = None,
    budget: Budget | None = None,
) -> list[dict[str, Any]]:
    """Write ``folder/<stem>.<suffix>`` in each of ``formats`` and read it back; return rows of ``tables.FORMATS``.

    ``comments`` are lines for a header, left out where a file has no room for them. Files above ``budget`` are written
    with fewer Gaussians or harmonics, or coarser numbers.

    Raises ``CorruptArtifact`` when a value is not finite, ``InputError`` for a budget that is too small. What was read
    back is told as it is: the gates judge.
    """
    require_finite(gaussians)
    rows = []
    for name in formats:
        kind = FORMATS[name]
        path = folder / f"{stem}{kind.suffix}"
        save, judge = partial(_save, kind, comments), Judge(read=kind.read, compare=compare) if compare else None
        kept, coarse = gaussians, 0
        if budget is None:
            save(path, gaussians, 0)
        else:
            kept, coarse = budget.fit(gaussians, path, save, judge, coarsest=len(kind.coarser))
        coarser = kind.coarser[coarse - 1] if coarse else None
        want, got = kept.take(kind.order(kept)), kind.read(path)
        row = {"format": name, "file": path.name, "size_bytes": path.stat().st_size, "axes": kind.axes}
        row |= {"lost": _lost(want, got), "left_out": left_out(gaussians, kept, coarser)}
        rows.append({**row, **_read_back(want, got, compare)})
    return rows


def _save(kind: Format, comments: Sequence[str], path: Path, gaussians: Gaussians, coarse: int) -> None:
    kind.save(path, gaussians, comments, coarse=coarse)


def _read_back(want: Gaussians, got: Gaussians, compare: Compare | None) -> dict[str, Any]:
    """Return how what was read back differs. Positions cannot be compared where Gaussians are missing: infinite."""
    same, unread = len(got) == len(want), nan_share(got) if len(want) else 0.0
    return {
        "gaussians": len(got),
        "wanted": len(want),
        "max_error": float(np.abs(got.means - want.means).max(initial=0)) if same else float("inf"),
        "unread_share": unread,
        "box_error": box_error(want.means, got.means),
        "psnr_db": compare(got) if compare and same and not unread else None,
    }


def _lost(want: Gaussians, got: Gaussians) -> str | None:
    """Return what a file does not say of the Gaussians, in words; None: nothing."""
    lost = [f"harmonics above degree {got.sh_degree}"] if got.sh_degree < want.sh_degree else []
    if want.antialiased and not got.antialiased:
        lost.append("that opacities are meant for an antialiased renderer")
    if not np.allclose(got.background, want.background, atol=1e-6):
        lost.append("the background ({:.3g}, {:.3g}, {:.3g})".format(*want.background))
    return "; ".join(lost) or None


def require_finite(gaussians: Gaussians) -> None:
    """Raise ``CorruptArtifact`` naming the attribute and how many of its values are not finite numbers."""
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        bad = int(np.count_nonzero(~np.isfinite(getattr(gaussians, name))))
        if bad:
            raise CorruptArtifact(f"{bad} values of {name} are not finite", remedy="Materialize the splat again.")
