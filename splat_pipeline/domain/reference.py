"""The frame in which a splat is made and delivered: up, scale, north, and where on Earth it lies.

I cameras, P points. The world is upright, -y up (y down, COLMAP's custom), its origin at the median of the points.
Where positions say how it lies on Earth, +x is east and +z north; where they or a known length say how large it is,
its unit is the metre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.geodesy import Place
from splat_pipeline.domain.georeference import Georeference, Stations, georeference, moved_to
from splat_pipeline.domain.known_length import KnownLength
from splat_pipeline.domain.positions import Fix
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.domain.upright import up_direction

Float = NDArray[np.float64]

FREE = "+x right, +y down, +z ahead of the first camera"
ON_EARTH = "+x east, +y down, +z north"
CONTRADICTS = 0.2
"""Share by which the scale of positions and that of a known length may differ without a warning."""
_LOCAL_FROM_DOWN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""From axes with y down to axes with z up: right, ahead, up; or east, north, up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The world's frame, and what it rests on."""

    world_from_sfm: Similarity
    up_source: str
    """What said which way is up, in words."""
    scale_source: str | None = None
    """"job.yaml", "gps exif", "gps track"; None: the world's unit is arbitrary."""
    origin: Place | None = None
    """Where the world's origin lies on Earth."""
    knows_height: bool = False
    gps: dict[str, Any] | None = None
    known_length: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what ``frame_of_reference.json`` holds."""
        origin = self.origin
        return {
            "world_from_sfm": self.world_from_sfm.to_json(),
            "axes": FREE if origin is None else ON_EARTH,
            "up_source": self.up_source,
            "metres_per_unit": None if self.scale_source is None else 1.0,
            "scale_source": self.scale_source,
            "origin": origin
            and {
                "lat_deg": origin.lat_deg,
                "lon_deg": origin.lon_deg,
                "alt_m": origin.alt_m if self.knows_height else None,
            },
            "gps": self.gps,
            "known_length": self.known_length,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class Located:
    """Positions of the I cameras of a reconstruction."""

    fixes: Sequence[Fix | None]
    source: str
    """"gps exif" or "gps track"."""


def reference_from(
    cam_from_sfm: Float,
    points: Float,
    *,
    aerial: bool,
    located: Located | None = None,
    known: KnownLength | None = None,
) -> Reference:
    """Return the world of cameras (I, 4, 4) and points (P, 3).

    ``aerial``: see ``upright.up_direction``. ``known`` decides the scale over ``located``. Without north the first
    camera looks along +z as far as it looks level. Raises ``ValueError`` without camera or point.
    """
    if not (len(cam_from_sfm) and len(points)):
        raise ValueError(f"need cameras and points, got {len(cam_from_sfm)} and {len(points)}")
    up, up_source = up_direction(cam_from_sfm, points, aerial=aerial)
    upright = _turned(cam_from_sfm, up)
    scale = known.metres_per_unit if known else None
    plain = Reference(
        world_from_sfm=_centered(scale or 1.0, upright, _origin(points, upright)),
        up_source=up_source,
        scale_source=None if scale is None else "job.yaml",
        known_length=None if known is None else asdict(known),
        warnings=(f"the known length is not used: {known.because}",) if known and scale is None else (),
    )
    if located is None:
        return plain
    stations = _stations(cam_from_sfm, _LOCAL_FROM_DOWN @ upright, located)
    found = georeference(stations)
    gps = {"source": located.source, "accepted": found.origin is not None, "because": found.because} | found.figures
    told = replace(plain, gps=gps)
    return told if found.enu_from_local is None else _on_earth(told, found, upright, points, scale=scale)


def _on_earth(
    plain: Reference, found: Georeference, upright: Float, points: Float, *, scale: float | None
) -> Reference:
    """Return the world turned so that z is north, in metres: of ``scale`` where a known length says it."""
    assert found.enu_from_local is not None
    assert plain.gps is not None
    leaning_deg = float(np.degrees(np.arccos(np.clip(found.enu_from_local.rotation[2, 2], -1, 1))))
    center = _origin(points, _LOCAL_FROM_DOWN.T @ found.enu_from_local.rotation @ _LOCAL_FROM_DOWN @ upright)
    here = moved_to(found, _LOCAL_FROM_DOWN @ upright @ center)
    assert here.enu_from_local is not None
    measured = here.enu_from_local.scale
    rotation = _LOCAL_FROM_DOWN.T @ here.enu_from_local.rotation @ _LOCAL_FROM_DOWN @ upright
    warnings = list(plain.warnings)
    if scale is not None and abs(np.log(measured / scale)) > np.log1p(CONTRADICTS):
        warnings.append(f"positions make the world {measured / scale:.2f} times as large as the known length does")
    return replace(
        plain,
        world_from_sfm=_centered(measured if scale is None else scale, rotation, center),
        up_source=f"positions ({plain.gps['source']})" if found.knows_up else plain.up_source,
        scale_source=plain.gps["source"] if scale is None else "job.yaml",
        origin=here.origin,
        knows_height=found.knows_height,
        gps=plain.gps | {"metres_per_sfm_unit": measured, "cameras_lean_deg": leaning_deg if found.knows_up else None},
        warnings=tuple(warnings),
    )


def _turned(cam_from_sfm: Float, up: Float) -> Float:
    """Return the (3, 3) rotation with -``up`` as +y, and the first camera looking along +z as far as it looks level."""
    down = -up
    forward = next(axis - (axis @ down) * down for axis in cam_from_sfm[0, [2, 1, 0], :3] if abs(axis @ down) < 0.9)
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward])


def _origin(points: Float, rotation: Float) -> Float:
    """Return the median (3,) of points (P, 3): of the turned ones, as a median by axes depends on the axes."""
    middle: Float = np.median(points @ rotation.T, axis=0) @ rotation
    return middle


def _centered(scale: float, rotation: Float, center: Float) -> Similarity:
    return Similarity(scale=scale, rotation=rotation, translation=-scale * (rotation @ center))


def _stations(cam_from_sfm: Float, local_from_sfm: Float, located: Located) -> Stations:
    """Return the cameras that have a position, in local axes."""
    pairs = [(pose, fix) for pose, fix in zip(cam_from_sfm, located.fixes, strict=True) if fix is not None]
    poses = np.stack([pose for pose, _ in pairs]) if pairs else np.zeros((0, 4, 4))
    return Stations(
        centers=-np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3]) @ local_from_sfm.T,
        lat_deg=np.array([fix.lat_deg for _, fix in pairs], np.float64),
        lon_deg=np.array([fix.lon_deg for _, fix in pairs], np.float64),
        alt_m=np.array([_or_nan(fix.alt_m) for _, fix in pairs], np.float64),
        accuracy_m=np.array([_or_nan(fix.accuracy_m) for _, fix in pairs], np.float64),
    )


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def in_words(told: Mapping[str, Any]) -> dict[str, str]:
    """Return ``up``, ``scale`` and ``place`` of a ``frame_of_reference.json`` in words. Older ones say less."""
    gps, origin = told.get("gps"), told.get("origin")
    scale = "arbitrary: no source of scale"
    if told.get("scale_source") not in {None, "none"}:
        unit = "metres" if told.get("metres_per_unit") else "a unit of its own"
        scale = f"{unit}, from {told['scale_source']}"
    if gps and told.get("metres_per_unit") and told["scale_source"] != "job.yaml":
        scale += f": {gps['used']} of {gps['positions']} positions fit to {gps['residual_m']:.2f} m"
        scale += f", sizes are good to {100 * gps['scale_error']:.0f} % or so"
    elif gps and not gps["accepted"]:
        scale += f"; positions ({gps['source']}) were not used: {gps['because']}"
    if not origin:
        place = "not known"
    else:
        high = "" if origin["alt_m"] is None else f", {origin['alt_m']:.1f} m"
        place = f"{origin['lat_deg']:.7f}, {origin['lon_deg']:.7f}{high} (WGS84)"
    return {"up": f"-y, from {told['up_source']}", "scale": scale, "place": place}


def header_lines(told: Mapping[str, Any]) -> list[str]:
    """Return what the header of a file says of a ``frame_of_reference.json``, one line each, printable ASCII."""
    words = in_words(told)
    lines = ["Up: -y", f"Units: {'metres' if told.get('metres_per_unit') else 'arbitrary'}"]
    return [*lines, f"Axes: {ON_EARTH}", f"Origin: {words['place']}"] if told.get("origin") else lines
