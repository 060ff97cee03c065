"""A lens measured from a board: what came out, and whether to believe it.

``calibration.json``: ``{"version": 1, "cameras": {NAME: {"model", "width_px", "height_px", "params", "heldout_rms_px",
...}}}``, one camera a clip; parameters in COLMAP's order, the corner of the image at 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splat_pipeline.domain.errors import BadCalibration
from splat_pipeline.domain.formats.colmap import ColmapCamera

LIMIT_PX = 0.5
"""RMS over held-out views: above, a board was bent, the picture shook, or the lens is not of this model."""
LEAST_VIEWS = 10
LEAST_TILT_DEG = 8.0
"""Root mean square angle of the board from its mean direction. Shown face on only, it leaves the focal length open:
rendered within 0.3 degrees it came out 7 % wrong, at 0.1 px on held-out views and a standard deviation of 0.01 px."""
LEAST_SPAN = 0.5
"""Of width and of height, reached by corners of any view: distortion grows towards the edges."""
_BOARD = re.compile(r"(checkerboard|charuco):(\d{1,2})x(\d{1,2})")


@dataclass(frozen=True, kw_only=True)
class Board:
    """What was filmed."""

    kind: str
    """checkerboard: columns and rows of inner corners; charuco: of squares, with markers out of DICT_5X5_100."""
    columns: int
    rows: int

    @classmethod
    def parse(cls, text: str) -> Board:
        """Read ``checkerboard:9x6`` or ``charuco:7x5``. Raises ``BadCalibration``."""
        found = _BOARD.fullmatch(text)
        if found is None or min(int(found[2]), int(found[3])) < 3:
            cause = f"{text!r} is no board: checkerboard:COLUMNSxROWS (inner corners) or charuco:COLUMNSxROWS (squares)"
            raise BadCalibration(cause, remedy="Name the board that was filmed, at least 3x3.")
        return cls(kind=found[1], columns=int(found[2]), rows=int(found[3]))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One camera."""

    camera: ColmapCamera
    """OPENCV: fx fy cx cy k1 k2 p1 p2."""
    views: int
    """From which it was computed."""
    heldout_views: int
    rms_px: float
    heldout_rms_px: float
    tilt_deg: float
    """Root mean square angle of the board from its mean direction."""
    span: tuple[float, float]
    """Share of width and height between the outermost corners."""

    def to_json(self) -> dict[str, Any]:
        """Return a camera of ``calibration.json``."""
        return {
            "model": self.camera.model,
            "width_px": self.camera.width_px,
            "height_px": self.camera.height_px,
            "params": list(self.camera.params),
            "views": self.views,
            "heldout_views": self.heldout_views,
            "rms_px": round(self.rms_px, 4),
            "heldout_rms_px": round(self.heldout_rms_px, 4),
            "tilt_deg": round(self.tilt_deg, 2),
        }


def document(cameras: Mapping[str, Calibration]) -> dict[str, Any]:
    """Return what ``calibration.json`` holds."""
    return {"version": 1, "cameras": {name: each.to_json() for name, each in cameras.items()}}


def require_views(count: int, name: str) -> None:
    """Raise ``BadCalibration`` where the board was seen too seldom."""
    if count < LEAST_VIEWS:
        raise BadCalibration(f"the board was found in {count} views of {name}, {LEAST_VIEWS} are needed", file=name)


def require_good(found: Calibration, name: str) -> None:
    """Raise ``BadCalibration`` with the number that speaks against ``found``."""
    if not found.heldout_rms_px <= LIMIT_PX:
        cause = f"{name}: {found.heldout_rms_px:.2f} px rms on views held out, {LIMIT_PX} at most are believed"
        raise BadCalibration(cause, file=name)
    if not found.tilt_deg >= LEAST_TILT_DEG:
        cause = f"{name}: the board was tilted by {found.tilt_deg:.1f} degrees rms, {LEAST_TILT_DEG:.0f} are needed"
        raise BadCalibration(cause, file=name, remedy="Film the board again, tilted by 30 to 45 degrees to every side.")
    if min(found.span) < LEAST_SPAN:
        cause = f"{name}: the board reached {found.span[0]:.0%} of the width and {found.span[1]:.0%} of the height"
        raise BadCalibration(cause, file=name, remedy="Film the board again, out to the edges of the picture.")
