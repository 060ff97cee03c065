"""How a reconstruction lies on Earth, measured on positions that cameras wrote down.

N cameras with a position. *Local* axes are level as far as the cameras tell: +x right, +y ahead, +z up, in units of the
reconstruction. *ENU* is east, north, up in metres of a place near by.

Positions are wrong by metres, neighbouring ones in the same way, and some by far more. So most must agree on one
similarity (``domain.agreement``), and the scene must be larger than the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.agreement import FLOOR_M, FREE, LEVEL, Agreed, Mask, agreed
from splat_pipeline.domain.geodesy import Place, enu_from, place_at
from splat_pipeline.domain.rigid import Similarity, fit_similarity

Float = NDArray[np.float64]

LEAST = 6
"""Cameras at different places."""
LEAST_SHARE = 0.6
"""Of the positions that must agree."""
LEAST_SIGNAL = 5.0
"""Times the error of one position that cameras must lie around their middle (root mean square, level)."""
ASSUMED_M = 1.0
"""Error of positions to one another within one capture, where the receiver claims nothing better. Consumer receivers
are off by 3 to 5 m, most of it the same for minutes."""
MOST_TILT_DEG = 3.0
"""Up is taken from positions when they know it better than this; hands and flight planes are about as good."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stations:
    """N registered cameras with positions."""

    centers: Float
    """(N, 3) local axes."""
    lat_deg: Float
    lon_deg: Float
    alt_m: Float
    """(N,) NaN where unknown."""
    accuracy_m: Float
    """(N,) as receivers claim, NaN where they do not."""

    def enu(self, origin: Place) -> Float:
        """Return (N, 3) metres from ``origin``; up is NaN where the altitude is unknown."""
        known = np.isfinite(self.alt_m)
        enu = enu_from(self.lat_deg, self.lon_deg, np.where(known, self.alt_m, origin.alt_m), origin)
        enu[~known, 2] = np.nan
        return enu

    @property
    def middle(self) -> Place:
        """The median of the positions; height 0 where no altitude is known."""
        known = self.alt_m[np.isfinite(self.alt_m)]
        around = (self.lon_deg - self.lon_deg[0] + 180) % 360 - 180  # a scene may lie across the date line
        lon = (float(np.median(around)) + self.lon_deg[0] + 180) % 360 - 180
        high = float(np.median(known)) if len(known) else 0.0
        return Place(lat_deg=float(np.median(self.lat_deg)), lon_deg=float(lon), alt_m=high)


@dataclass(frozen=True, kw_only=True, eq=False)
class Georeference:
    """What came of the positions."""

    enu_from_local: Similarity | None
    """Metres around ``origin``; None: refused."""
    origin: Place | None
    knows_up: bool
    """The positions say which way is up; otherwise the cameras did, and rotation is about the vertical only."""
    knows_height: bool
    because: str
    figures: dict[str, Any]
    """Counts, and metres: what ``frame_of_reference.json`` tells."""


def georeference(stations: Stations, *, seed: int = 0) -> Georeference:
    """Return how the local axes lie on Earth, or why the positions do not tell."""
    figures: dict[str, Any] = {"positions": len(stations.centers)}
    places = _different(stations)
    if places < LEAST:
        return _refused(figures, f"{places} cameras at different positions, {LEAST} are needed")
    origin = stations.middle
    enu, high = stations.enu(origin), np.isfinite(stations.alt_m)
    rng = np.random.default_rng(seed)
    for knows_up in (True, False):
        usable = high if knows_up else np.ones(len(enu), bool)
        if usable.sum() < LEAST or usable.mean() < LEAST_SHARE:
            continue
        kind = FREE if knows_up else LEVEL
        found = agreed(stations.centers[usable], enu[usable], kind, rng)
        if found is None:
            continue
        told = figures | _told(stations, enu, usable, found)
        tilt_deg = told.pop("tilt_error_deg")
        if knows_up and not tilt_deg <= MOST_TILT_DEG:
            continue
        if knows_up:
            told["up_error_deg"] = tilt_deg
        refusal = _refusal(told)
        if refusal is None:
            words = "positions fix scale, north and up" if knows_up else "positions fix scale and north, cameras up"
            return Georeference(
                enu_from_local=found.similarity,
                origin=origin,
                knows_up=knows_up,
                knows_height=bool(high.sum() >= LEAST),
                because=words,
                figures=told,
            )
        if not knows_up:
            return _refused(told, refusal)
    return _refused(figures, "no two cameras agree on a scale: the positions do not fit the camera path")


def moved_to(found: Georeference, local: Float) -> Georeference:
    """Return the same with its origin at ``local`` (3,): the tangent plane there is the level one.

    Raises ``ValueError`` for what was refused.
    """
    if found.enu_from_local is None or found.origin is None:
        raise ValueError(f"there is no georeference to move: {found.because}")
    origin = place_at(found.enu_from_local.points(local), found.origin)
    # Two tangent planes differ by a turn (0.001 degrees in 100 m): three points far enough apart say which.
    far = 1000.0 * np.vstack([np.zeros(3), np.eye(3)])
    back = found.enu_from_local.inverse().points(far)
    places = [place_at(point, found.origin) for point in far]
    there = enu_from(
        np.array([p.lat_deg for p in places]),
        np.array([p.lon_deg for p in places]),
        np.array([p.alt_m for p in places]),
        origin,
    )
    return Georeference(
        enu_from_local=fit_similarity(back, there),
        origin=origin,
        knows_up=found.knows_up,
        knows_height=found.knows_height,
        because=found.because,
        figures=found.figures,
    )


def _told(stations: Stations, enu: Float, usable: Mask, found: Agreed) -> dict[str, Any]:
    """Return the figures of a fit."""
    kept = enu[usable][found.inliers]
    level = kept[:, :2] - kept[:, :2].mean(0)
    extents = np.linalg.svd(level, compute_uv=False) / np.sqrt(len(level))
    off = found.residual[found.inliers]
    off_level, off_up = float(np.sqrt((off[:, :2] ** 2).sum(1).mean())), off[np.isfinite(off[:, 2]), 2]
    claimed = stations.accuracy_m[usable][found.inliers]
    claim = float(np.median(claimed[np.isfinite(claimed)])) if np.isfinite(claimed).any() else ASSUMED_M
    error_m = max(found.sigma_m, min(claim, ASSUMED_M))
    spread_m = float(np.hypot(*extents))
    vertical_m = float(np.sqrt((off_up**2).mean())) if len(off_up) else None
    # Three numbers of the fit are heights: few positions fit better than they are good.
    upward_m = max(FLOOR_M, (vertical_m or 0.0) * np.sqrt(len(off_up) / max(1, len(off_up) - 3)))
    second_m = max(float(extents[1]), 1e-9)
    return {
        "used": int(found.inliers.sum()),
        "residual_m": float(np.sqrt(np.nansum(off**2, axis=1).mean())) if vertical_m is not None else off_level,
        "horizontal_m": off_level,
        "vertical_m": vertical_m,
        "spread_m": spread_m,
        "error_m": error_m,
        # Errors of neighbours are alike: many positions know the scale hardly better than one does.
        "scale_error": error_m / spread_m if spread_m > 0 else None,
        "tilt_error_deg": float(np.degrees(np.arctan2(upward_m, second_m))),
    }


def _refusal(told: dict[str, Any]) -> str | None:
    share = told["used"] / told["positions"]
    if share < LEAST_SHARE:
        return f"{told['used']} of {told['positions']} positions agree, {LEAST_SHARE:.0%} are needed"
    if told["spread_m"] < LEAST_SIGNAL * told["error_m"]:
        return (
            f"positions are off by {told['error_m']:.1f} m and the cameras spread by {told['spread_m']:.1f} m: "
            f"{LEAST_SIGNAL:.0f} times as much is needed"
        )
    return None


def _different(stations: Stations) -> int:
    """Return how many positions there are, to the decimetre."""
    return len(np.unique(np.round(np.stack([stations.lat_deg, stations.lon_deg], axis=1), 6), axis=0))


def _refused(figures: dict[str, Any], because: str) -> Georeference:
    return Georeference(
        enu_from_local=None, origin=None, knows_up=False, knows_height=False, because=because, figures=figures
    )
