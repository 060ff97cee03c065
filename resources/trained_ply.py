"""What another program hands back as Gaussians: read, and held against what was asked for."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from splat_pipeline.domain.errors import BadAnswer, CorruptArtifact, Diverged
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.ports.progress import Say

MOST = 50_000_000
"""Gaussians that are believed."""
BAD_SHARE = 0.01
"""Of Gaussians that are not finite: up to this share they are left out, above it the training has diverged."""
REMEDY = "Look at the program's own log; docs/plugins.md says what is expected of a trainer."


def read_trained(path: Path, *, who: str, most_degree: int, say: Say) -> Gaussians:
    """Return the Gaussians that ``who`` wrote to ``path``, harmonics up to ``most_degree``.

    Raises ``BadAnswer`` where there is no such file or it is no PLY of Gaussians, and ``Diverged``.
    """
    if path.is_symlink() or not path.is_file():
        raise BadAnswer(f"{who} ended well and wrote no {path.name}", remedy=REMEDY)
    try:
        found = read_ply(path)
    except CorruptArtifact as error:
        raise BadAnswer(f"{who} wrote something else than Gaussians: {error.cause}", remedy=REMEDY) from None
    if not 0 < len(found) <= MOST:
        raise BadAnswer(f"{who} wrote {len(found)} Gaussians", remedy=REMEDY)
    if found.sh_degree > most_degree:
        asked = f"harmonics of degree {found.sh_degree}, asked were {most_degree}"
        raise BadAnswer(f"{who} wrote {asked}", remedy=REMEDY)
    return _finite(found, who, say)


def _finite(found: Gaussians, who: str, say: Say) -> Gaussians:
    arrays = [getattr(found, entry.name) for entry in fields(found)]
    rows = [values.reshape(len(found), -1) for values in arrays if isinstance(values, np.ndarray)]
    good = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in rows])
    good &= (found.quats != 0).any(axis=1)
    bad = int((~good).sum())
    if bad > BAD_SHARE * len(found):
        raise Diverged(f"{bad} of {len(found)} Gaussians of {who} are not finite")
    if not bad:
        return found
    say(f"{bad} of {len(found)} Gaussians of {who} are not finite and left out")
    return found.take(good)
