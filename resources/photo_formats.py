"""Which kinds of photo are read, and how their colours become sRGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from splat_pipeline.domain.errors import ToolMissing, UnreadableMedia

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "TIFF")  # MPO comes through JPEG
HEAD_BYTES = 12
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def formats_of(head: bytes, name: str) -> tuple[str, ...]:
    """Return Pillow's names of the formats that a file of these first bytes may be opened as, whatever its name says.

    Raises ``ToolMissing`` for HEIC where its decoder is not installed.
    """
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return FORMATS
    try:
        import pillow_heif
    except ImportError:
        cause = f"{name} is HEIC, whose decoder is not installed"
        remedy = "Install it: pip install 'splat_pipeline[heic]'. Or export the photos as JPEG."
        raise ToolMissing(cause, file=name, remedy=remedy) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def in_eight_bits(image: Image, name: str) -> Image:
    """Return a photo of any mode as RGB of 8 bits a channel. Raises ``UnreadableMedia`` for what has no such range."""
    import PIL.Image

    if image.mode == "F":
        raise UnreadableMedia(f"{name} holds floating point numbers, whose range is not known", file=name)
    if image.mode.startswith("I"):
        return PIL.Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    return image.convert("RGB")


def in_srgb(image: Image, profile: bytes | None) -> Image:
    """Return an RGB picture in sRGB, by the ICC profile that came with its file (phones: Display P3).

    Without a profile of RGB it is sRGB already (EXIF 2.32, 4.6.5 B). So is one whose profile is damaged: a wrong
    shade is a smaller fault than a photo that is missing.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if source.profile.xcolor_space.strip() != "RGB":
            return image
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ImageCms.PyCMSError):
        return image
    return image if shown is None else shown
