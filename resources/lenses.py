"""How adapter and COLMAP worker speak of lenses and rigs, in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splat_pipeline.domain.formats.colmap import ColmapCamera
from splat_pipeline.domain.rig import RigFrames


def lenses(cameras: Mapping[int, ColmapCamera]) -> list[Any]:
    """Return what ``colmap_database.known_cameras`` reads."""
    return [
        [int(i), {"model": c.model, "width": c.width_px, "height": c.height_px, "params": list(c.params)}]
        for i, c in cameras.items()
    ]


def rig(frames: RigFrames | None) -> dict[str, Any] | None:
    """Return what ``colmap_rig`` reads."""
    if frames is None:
        return None
    return {
        "cams_from_rig": [[int(i), pose.tolist()] for i, pose in frames.cams_from_rig.items()],
        "instants": [list(group) for group in frames.instants],
    }
