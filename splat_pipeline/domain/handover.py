"""How a package lies in its folder, and what a program that waits for it is told.

``package``            all files side by side, models as model-<UTC>.<ending>
``splatter-server``    what aukilabs/splatter-server leaves, where those who collect it look:
                       refined/splatter/{splat.ply, splat_rot.ply, splat_rot.splat, preview.mp4}

There ``splat.ply`` has the axes of ``model-*.ply``; ``splat_rot.*`` is turned by half a turn about x: y up, z backward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from splat_pipeline.domain.formats.axes import half_turned
from splat_pipeline.domain.formats.ply import write_ply
from splat_pipeline.domain.formats.splat import write_splat
from splat_pipeline.domain.gaussians import Gaussians

Layout = Literal["package", "splatter-server"]
SPLATTER = "refined/splatter"
DONE = 40
"""NodeODM's status code of a task that was completed."""


def write_splatter(folder: Path, gaussians: Gaussians, comments: Sequence[str]) -> dict[str, str]:
    """Write the models of the layout ``splatter-server`` below ``folder``; return data types by name."""
    home = folder / SPLATTER
    home.mkdir(parents=True)
    turned = half_turned(gaussians)
    write_splat(home / "splat_rot.splat", turned)
    write_ply(home / "splat_rot.ply", turned)
    write_ply(home / "splat.ply", gaussians, comments=comments)
    kinds = {"splat_rot.splat": "splat_data", "splat_rot.ply": "splat_model", "splat.ply": "splat_model"}
    return {f"{SPLATTER}/{name}": kind for name, kind in kinds.items()}


def message_of(delivery: Mapping[str, Any], *, delivered_to: str, version: str) -> dict[str, Any]:
    """Return what a webhook is sent when a package was delivered: flat, with NodeODM's names where it has some."""
    metrics = delivery["metrics"]
    return {
        "uuid": delivery["job"],
        "name": delivery["title"],
        "status": {"code": DONE},
        "progress": 100,
        "processingTime": round(1000 * sum(delivery["timings"].values())),
        "imagesCount": metrics["keyframes"],
        "detail": delivery["detail"],
        "draft": delivery["draft"],
        "outcome": delivery["status"],
        "reasons": delivery["reasons"],
        "warnings": delivery["warnings"],
        "metrics": metrics,
        "outputs": {file["name"]: file["data_type"] for file in delivery["files"]},
        "delivered_to": delivered_to,
        "version": version,
    }
