"""Decoded frames as pictures: progressive, in sRGB, of the asked size, upright and not mirrored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.colours import BT709, BT2020, HLG, PQ, STEPS, UNSPECIFIED, Conversion, conversion
from splat_pipeline.domain.orientation import AS_STORED, Orientation, from_display_matrix

HD_HEIGHT_PX = 720
LINES = 64
_BT2020_MATRICES = {9, 10}  # non-constant luminance, and constant, which nobody films: read as the other


def orientation_of(frame: Any) -> Orientation:
    """Return how a frame is to be turned and mirrored, by the display matrix that it carries."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return AS_STORED if matrix is None else from_display_matrix(bytes(matrix))


def shown_size(frame: Any, aspect: float) -> tuple[int, int]:
    """Return (width, height) in px as shown: pixels of shape ``aspect`` made square, picture upright."""
    return orientation_of(frame).shown(round(frame.width * aspect), frame.height)


def fitted(width: int, height: int, longer_side_px: int) -> tuple[int, int]:
    """Return the size with the longer side at most ``longer_side_px``; nothing is enlarged."""
    scale = min(1.0, longer_side_px / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def upright(frame: Any, size: tuple[int, int], *, gray: bool) -> NDArray[np.uint8]:
    """Return a frame as 8-bit luma (H, W) or RGB (H, W, 3) of ``size`` (width, height), turned upright."""
    orientation = orientation_of(frame)
    converted = conversion(int(frame.color_trc), int(frame.color_primaries))
    pixels = "rgb48le" if converted is not None else "gray8" if gray else "rgb24"
    picture = _pixels(frame, orientation.shown(*size), pixels)
    if converted is not None:
        picture = to_standard(picture, converted)
        picture = _luma(picture) if gray else picture
    return orientation.applied(picture)


def _pixels(frame: Any, size: tuple[int, int], pixels: str) -> Any:
    # One thread: more are started and ended anew for every frame, which failed once in an hour of video.
    options: dict[str, Any] = {"format": pixels, "interpolation": "AREA", "src_colorspace": _matrix_of(frame)}
    options["threads"] = 1
    if frame.interlaced_frame:
        import cv2

        lines = one_field(frame).reformat(**options).to_ndarray()
        return cv2.resize(between_lines(lines, frame.height), size, interpolation=cv2.INTER_AREA)
    return frame.reformat(width=size[0], height=size[1], **options).to_ndarray()


def to_standard(picture: NDArray[np.uint16], by: Conversion) -> NDArray[np.uint8]:
    """Return an RGB signal (H, W, 3) of 16 bits in standard range and gamut, 8 bits. See ``domain/colours``.

    A few lines at a time, which stay in the processor's cache: that takes two thirds of the time or less.
    """
    standard = np.empty(picture.shape, np.uint8)
    for top in range(0, len(picture), LINES):
        standard[top : top + LINES] = _standard_lines(picture[top : top + LINES], by)
    return standard


def _standard_lines(picture: NDArray[np.uint16], by: Conversion) -> NDArray[np.uint8]:
    import cv2

    light = by.light[picture >> 4]
    luminance = np.clip(cv2.transform(light, by.luminance), 0, 1)
    gain = by.gain[_steps(luminance)]
    standard = cv2.transform(light, by.to_bt709)
    standard *= gain[..., None]
    return by.code[_steps(np.clip(standard, 0, 1, out=standard))]


def _steps(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    import cv2

    root = cv2.sqrt(light)
    root *= STEPS - 1
    root += 0.5
    return np.asarray(root, np.uint16)


def _luma(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _matrix_of(frame: Any) -> int:
    """Return the H.273 number of the matrix that made luma and chroma; where none is said, as players guess it."""
    said = int(frame.colorspace)
    if said in _BT2020_MATRICES:
        return BT2020
    if said != UNSPECIFIED:
        return said
    if int(frame.color_trc) in {PQ, HLG} or int(frame.color_primaries) == BT2020:
        return BT2020
    return BT709 if frame.height >= HD_HEIGHT_PX else UNSPECIFIED


def one_field(frame: Any) -> Any:
    """Return the upper field of an interlaced frame, half as high: what was filmed at one moment.

    Taken before luma and chroma are mixed: at 4:2:0 the chroma of two neighbouring lines belongs to two moments.
    """
    import av

    field = av.VideoFrame(frame.width, (frame.height + 1) // 2, frame.format.name)
    field.colorspace, field.color_range = frame.colorspace, frame.color_range
    for whole, half in zip(frame.planes, field.planes, strict=True):
        lines = np.frombuffer(whole, np.uint8).reshape(-1, whole.line_size)[: whole.height : 2]
        wide = np.zeros((half.buffer_size // half.line_size, half.line_size), np.uint8)
        used = min(whole.line_size, half.line_size)
        wide[: len(lines), :used] = lines[:, :used]
        half.update(wide.tobytes())
    return field


def between_lines(field: Any, height: int) -> Any:
    """Return the upper field (L, W) or (L, W, C) as a picture of ``height`` lines, each line where it was filmed.

    Cubic interpolation. On a camera that moves past a photograph this is 1 dB nearer to the truth than FFmpeg's bwdif,
    which needs the frames before and after, and 6 dB nearer than lines that are merely stretched.
    """
    import cv2

    frame_from_field = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    size = (field.shape[1], height)
    return cv2.warpAffine(field, frame_from_field, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
