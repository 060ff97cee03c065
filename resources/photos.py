"""Folders of JPEG or PNG images, through Pillow: EXIF read, orientation applied, broken ones left out with a reason."""

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
from splat_pipeline.domain.errors import TooSmall, UnreadableMedia
from splat_pipeline.domain.media import utc_of
from splat_pipeline.domain.positions import Fix, fix_or_none
from splat_pipeline.domain.uploads import IMAGE_SUFFIXES, VideoFacts, is_junk, natural_order

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
"""A phone's largest photos have 48 to 50 million."""
LEAST_SIDE_PX = 160
SAME_ASPECT = 0.01
_ORIENTATION, _MAKE, _MODEL = 0x0112, 0x010F, 0x0110
_EXIF, _GPS, _FOCAL_35MM, _TAKEN, _ZONE = 0x8769, 0x8825, 0xA405, 0x9003, 0x9011
_GPS_STATUS, _GPS_ERROR_M = 9, 31
_TURNS = {3: 180, 6: 90, 8: 270}
"""EXIF orientation to the clockwise turn that it asks for."""


def image_names(folder: Path) -> list[str]:
    """Return the names of the images directly in ``folder``, in natural order."""
    return natural_order(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not is_junk(entry.name) and not entry.is_dir()
    )


@contextmanager
def opened_image(path: Path) -> Iterator[Image]:
    """Open an image, header only. Raises ``UnreadableMedia``, ``UnsafeUpload``."""
    import PIL.Image

    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        try:
            image = PIL.Image.open(file, formats=("JPEG", "PNG"))  # MPO comes through JPEG
        except PIL.UnidentifiedImageError:
            raise UnreadableMedia(
                f"{path.name} cannot be read as an image: not a JPEG or PNG", file=path.name
            ) from None
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError, Warning) as error:
            raise UnreadableMedia(f"{path.name} cannot be read as an image: {error}", file=path.name) from None
        with image:
            yield image


def probe_images(folder: Path) -> VideoFacts:
    """Return what a folder of images is. Raises ``UnreadableMedia`` when no image can be used."""
    sizes: dict[str, tuple[int, int]] = {}
    rejected: dict[str, str] = {}
    for name in image_names(folder):
        try:
            with opened_image(folder / name) as image:
                sizes[name] = _upright_size(image)
        except UnreadableMedia as error:
            rejected[name] = error.cause
    rejected |= _odd_sizes(sizes)
    images = tuple(name for name in sizes if name not in rejected)
    if not images:
        why = next(iter(rejected.values()), "no images")
        raise UnreadableMedia(f"no image of {folder.name} can be used: {why}", file=folder.name)
    width, height = sizes[images[0]]
    if min(width, height) < LEAST_SIDE_PX:
        raise TooSmall(f"{folder.name} holds {width}x{height} px images, {LEAST_SIDE_PX} px is the least side")
    with opened_image(folder / images[0]) as image:
        return VideoFacts(
            container="images",
            codec=str(image.format).lower(),
            width_px=width,
            height_px=height,
            frame_count=len(images),
            bit_depth=16 if image.mode.startswith("I") else 8,
            images=images,
            rejected=rejected,
            **_exif_facts(image),
        )


def _upright_size(image: Image) -> tuple[int, int]:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableMedia(f"{image.width}x{image.height} px, at most {MAX_PIXELS} px")
    turned = _TURNS.get(image.getexif().get(_ORIENTATION, 1), 0) in {90, 270}
    return (image.height, image.width) if turned else (image.width, image.height)


def _odd_sizes(sizes: dict[str, tuple[int, int]]) -> dict[str, str]:
    """Return why images are left out whose shape differs from most; turned and scaled ones of one shape are kept."""
    shapes = {name: max(size) / min(size) for name, size in sizes.items()}
    if not shapes:
        return {}
    usual = Counter(round(shape, 2) for shape in shapes.values()).most_common(1)[0][0]
    return {
        name: f"{sizes[name][0]}x{sizes[name][1]} px has another shape than most images"
        for name, shape in shapes.items()
        if abs(shape / usual - 1) > SAME_ASPECT
    }


def _exif_facts(image: Image) -> dict[str, Any]:
    exif = image.getexif()
    inner, gps = exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
    focal = _number(inner.get(_FOCAL_35MM))
    fix = _fix(gps, 0.0)
    taken = f"{inner.get(_TAKEN, '')}".replace(":", "-", 2).replace(" ", "T")
    return {
        "rotation_deg": _TURNS.get(exif.get(_ORIENTATION, 1), 0),
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
    """Return an image upright as (H, W, 3) RGB, its longer side at most ``longer_side_px``.

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
    if turned.mode.startswith("I"):
        turned = PIL.Image.fromarray((np.asarray(turned).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    plain = turned.convert("RGB")
    scale = longer_side_px / max(plain.size)
    if scale < 1:
        size = (max(1, round(plain.width * scale)), max(1, round(plain.height * scale)))
        plain = plain.resize(size, PIL.Image.Resampling.BOX)
    return np.asarray(plain, np.uint8)
