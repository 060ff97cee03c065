"""The formats that a splat is delivered in: written, read back, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.formats.splat import by_importance, read_splat, write_splat
from splat_pipeline.domain.gaussians import Gaussians

_Y_DOWN = "+x right, +y down, +z forward (COLMAP)"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way of writing Gaussians."""

    write: Callable[[Path, Gaussians, Sequence[str]], None]
    """The last are lines for a header, left out where a file has no room for them."""
    read: Callable[[Path], Gaussians]
    reorder: Callable[[Gaussians], Gaussians]
    """Into the order in which the file holds them."""
    axes: str


FORMATS: dict[str, Format] = {
    "ply": Format(
        write=lambda path, g, comments: write_ply(path, g, comments=comments),
        read=read_ply,
        reorder=lambda g: g,
        axes=_Y_DOWN,
    ),
    "splat": Format(
        write=lambda path, g, _: write_splat(path, g),
        read=read_splat,
        reorder=lambda g: g.take(by_importance(g)),
        axes=_Y_DOWN,
    ),
}


def export(gaussians: Gaussians, folder: Path, *, stem: str, comments: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Write ``folder/<stem>.<format>`` in every format and read each back; return rows of ``tables.FORMATS``.

    Raises ``CorruptArtifact`` when a value is not finite or what was read back is something else.
    """
    require_finite(gaussians)
    rows = []
    for name, kind in FORMATS.items():
        path = folder / f"{stem}.{name}"
        kind.write(path, gaussians, comments)
        want, got = kind.reorder(gaussians), kind.read(path)
        if len(got) != len(want):
            raise CorruptArtifact(f"{path.name} holds {len(got)} Gaussians of {len(want)}", file=path.name)
        require_finite(got)
        error = float(np.abs(got.means - want.means).max(initial=0))
        row = {"format": name, "file": path.name, "size_bytes": path.stat().st_size, "gaussians": len(got)}
        rows.append({**row, "max_error": error, "axes": kind.axes, "lost": _lost(want, got)})
    return rows


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
