"""Folders of photos, through Pillow: EXIF read, orientation applied, broken ones left out with a reason."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resources.inbox import open_regular
from resources.photo_formats import HEAD_BYTES, formats_of, in_eight_bits, in_srgb
from splat_pipeline.domain.contents import IMAGE_SUFFIXES, is_junk
from splat_pipeline.domain.errors import InputError, TooSmall, UnreadableMedia
from splat_pipeline.domain.media import utc_of
from splat_pipeline.domain.orientation import AS_STORED, BY_EXIF, Orientation
from splat_pipeline.domain.positions import Fix, fix_or_none
from splat_pipeline.domain.uploads import VideoFacts, natural_order

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
"""A phone's largest photos have 48 to 50 million."""
LEAST_SIDE_PX = 160
MOST_ASPECT = 3.0
"""Longer side over the shorter: more is a panorama, stitched from many views, which no lens explains."""
_ORIENTATION, _MAKE, _MODEL = 0x0112, 0x010F, 0x0110
_EXIF, _GPS, _FOCAL_35MM, _TAKEN, _ZONE = 0x8769, 0x8825, 0xA405, 0x9003, 0x9011
_GPS_STATUS, _GPS_ERROR_M = 9, 31
_FOCAL, _LENS = 0x920A, 0xA434


def image_names(folder: Path) -> list[str]:
    """Return the names of the images directly in ``folder``, in natural order."""
    return natural_order(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not is_junk(entry.name) and not entry.is_dir()
    )


@contextmanager
def opened_image(path: Path) -> Iterator[Image]:
    """Open an image, header only. Raises ``UnreadableMedia``, ``UnsafeUpload``, ``ToolMissing``."""
    import PIL.Image

    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        formats = formats_of(file.read(HEAD_BYTES), path.name)
        file.seek(0)
        try:
            image = PIL.Image.open(file, formats=formats)
        except PIL.UnidentifiedImageError:
            why = f"{path.name} cannot be read as an image: not {', '.join(formats)}"
            raise UnreadableMedia(why, file=path.name) from None
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError, Warning) as error:
            raise UnreadableMedia(f"{path.name} cannot be read as an image: {error}", file=path.name) from None
        with image:
            yield image


def probe_images(folder: Path) -> VideoFacts:
    """Return what a folder of images is; sizes may differ: its width and height are those of most images.

    Raises ``UnreadableMedia``, or ``TooSmall``, when no image can be used.
    """
    sizes: dict[str, tuple[int, int]] = {}
    lenses: dict[str, str] = {}
    rejected: dict[str, InputError] = {}
    for name in image_names(folder):
        try:
            with opened_image(folder / name) as image:
                sizes[name] = _usable_size(image, name)
                lenses[name] = lens_of(image)
        except (UnreadableMedia, TooSmall) as error:
            rejected[name] = error
    if not sizes:
        why: InputError = next(iter(rejected.values()), UnreadableMedia("no images"))
        raise type(why)(f"no image of {folder.name} can be used: {why}", file=folder.name)
    usual = Counter(sizes.values()).most_common(1)[0][0]
    first = next(name for name, size in sizes.items() if size == usual)
    with opened_image(folder / first) as image:
        return VideoFacts(
            container="images",
            codec=str(image.format).lower(),
            width_px=usual[0],
            height_px=usual[1],
            frame_count=len(sizes),
            bit_depth=16 if image.mode.startswith("I") else 8,
            images=tuple(sizes),
            image_sizes=sizes,
            image_lenses={name: lens for name, lens in lenses.items() if lens},
            rejected={name: error.cause for name, error in rejected.items()},
            **_exif_facts(image),
        )


def orientation_of(image: Image) -> Orientation:
    """Return how EXIF wants a photo to be turned and mirrored."""
    return BY_EXIF.get(image.getexif().get(_ORIENTATION, 1), AS_STORED)


def lens_of(image: Image) -> str:
    """Return what EXIF says that a photo was taken through, "" where it says no focal length.

    The lenses of a phone make pictures of one size; digital zoom changes the 35 mm equivalent, as it does the picture.
    """
    exif = image.getexif()
    inner = exif.get_ifd(_EXIF)
    equivalent, focal = _number(inner.get(_FOCAL_35MM)) or 0.0, _number(inner.get(_FOCAL)) or 0.0
    said = ((focal, f"{focal:.1f} mm"), (equivalent, f"{equivalent:.0f} mm of 35"))
    lengths = [text for length, text in said if length > 0]
    names = [_text(exif.get(_MAKE)), _text(exif.get(_MODEL)), _text(inner.get(_LENS))]
    return ", ".join([*filter(None, names), *lengths]) if lengths else ""


def _usable_size(image: Image, name: str) -> tuple[int, int]:
    """Return (width, height) in px, upright."""
    shown = f"{name} has {image.width}x{image.height} px"
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableMedia(f"{shown}, at most {MAX_PIXELS} px", file=name)
    if min(image.size) < LEAST_SIDE_PX:
        raise TooSmall(f"{shown}, {LEAST_SIDE_PX} px is the least side", file=name)
    if max(image.size) > MOST_ASPECT * min(image.size):
        raise UnreadableMedia(f"{shown}: a panorama is stitched from many views and has no single one", file=name)
    return orientation_of(image).shown(image.width, image.height)


def _exif_facts(image: Image) -> dict[str, Any]:
    exif = image.getexif()
    inner, gps = exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
    focal = _number(inner.get(_FOCAL_35MM))
    fix = _fix(gps, 0.0)
    taken = f"{inner.get(_TAKEN, '')}".replace(":", "-", 2).replace(" ", "T")
    return {
        "rotation_deg": orientation_of(image).rotation_deg,
        "mirrored": orientation_of(image).mirrored,
        "created_utc": utc_of(f"{taken}{inner.get(_ZONE, '')}"),
        "make": _text(exif.get(_MAKE)),
        "model": _text(exif.get(_MODEL)),
        "focal_35mm_mm": focal or None,
        "lat_deg": fix and fix.lat_deg,
        "lon_deg": fix and fix.lon_deg,
        "alt_m": fix and fix.alt_m,
    }


def fix_of(path: Path, pts_s: float) -> Fix | None:
    """Return where a photo was taken; None where it does not say. Raises ``UnreadableMedia``."""
    with opened_image(path) as image:
        return _fix(image.getexif().get_ifd(_GPS), pts_s)


def _fix(gps: Mapping[int, Any], pts_s: float) -> Fix | None:
    """Read the GPS part of EXIF 3.0 (section 4.6.6). Without a hemisphere the sign is open: no position then."""
    if str(gps.get(_GPS_STATUS, "A")).strip("\0 ") == "V":  # the receiver had lost its satellites
        return None
    altitude = _number(gps.get(6))
    below = gps.get(5) in {1, b"\x01"}
    return fix_or_none(
        pts_s,
        _degrees(gps.get(2), gps.get(1), "NS"),
        _degrees(gps.get(4), gps.get(3), "EW"),
        -altitude if altitude is not None and below else altitude,
        _number(gps.get(_GPS_ERROR_M)),
    )


def _text(value: Any) -> str | None:
    return str(value).strip("\0 ") or None if value is not None else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None


def _degrees(parts: Any, side: Any, sides: str) -> float | None:
    letter = str(side).strip("\0 ").upper()
    numbers = [_number(part) for part in parts] if isinstance(parts, tuple) and len(parts) == 3 else []
    if len(numbers) != 3 or any(number is None for number in numbers) or letter not in set(sides):
        return None
    degrees = float(sum((number or 0.0) / 60**power for power, number in enumerate(numbers)))
    return -degrees if letter in {"S", "W"} else degrees


def load_image(path: Path, longer_side_px: int) -> NDArray[np.uint8]:
    """Return an image upright as (H, W, 3) in sRGB, its longer side at most ``longer_side_px``.

    Raises ``UnreadableMedia`` when its data is damaged.
    """
    import PIL.Image
    import PIL.ImageOps

    with opened_image(path) as image:
        try:
            image.draft("RGB", (longer_side_px, longer_side_px))  # JPEG only: decodes at 1/2, 1/4 or 1/8 where enough
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableMedia(f"{path.name} is damaged: {error}", file=path.name) from None
        turned = PIL.ImageOps.exif_transpose(image)
    plain = in_eight_bits(turned, path.name)
    scale = longer_side_px / max(plain.size)
    if scale < 1:
        size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
        plain = plain.resize(size, PIL.Image.Resampling.BOX)
    return np.asarray(in_srgb(plain, turned.info.get("icc_profile")), np.uint8)
