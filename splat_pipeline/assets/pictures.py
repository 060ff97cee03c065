"""Pictures that assets make of Gaussians and pass on to people."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.gaussians import Gaussians

Picture = NDArray[np.uint8]
Item = TypeVar("Item")
SAME_DB = 100.0


def drawn(gaussians: Gaussians, views: Sequence[View]) -> Iterator[Picture]:
    """Give (H, W, 3) RGB of each view, one at a time."""
    # Here, so that the code location loads without the renderer's compiler.
    from splat_pipeline.splatting.film import film

    for image in film(gaussians, views):
        yield (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def captioned(pictures: Iterable[Picture], text: str) -> Iterator[Picture]:
    """Give (H, W, 3) RGB pictures with ``text`` in the lower left corner, black below white: legible on anything."""
    for picture in pictures:
        image = Image.fromarray(picture)
        height_px = max(8, image.height // 28)
        at = (height_px, image.height - 2 * height_px)
        pen = ImageDraw.Draw(image)
        pen.text(at, text, fill="white", font_size=height_px, stroke_width=max(1, height_px // 8), stroke_fill="black")
        yield np.asarray(image)


class Poster:
    """Looks at a film's frames as they pass for the one to show in its place, and keeps three to show side by side."""

    def __init__(self, *, frames: int, returns: bool = False) -> None:
        """``frames``: how many will pass. ``returns``: the second half shows the first one backwards."""
        self._kept = [round(frames * share) for share in ((0, 1 / 4, 1 / 2) if returns else (0, 1 / 3, 2 / 3))]
        self.turns: list[Picture] = []
        """Three frames as far apart as can be."""
        self._first: Picture | None = None
        self._best: Picture | None = None
        self._detail = -1.0

    def watching(self, frames: Iterable[Picture]) -> Iterator[Picture]:
        """Give the (H, W, 3) RGB frames on."""
        for i, frame in enumerate(frames):
            self._first = frame if self._first is None else self._first
            self.turns += [frame] if i in self._kept else []
            gray = frame[::2, ::2].mean(axis=2)
            detail = float(np.abs(np.diff(gray, axis=0)).mean() + np.abs(np.diff(gray, axis=1)).mean())
            if detail > self._detail:
                self._best, self._detail = frame, detail
            yield frame

    def chosen(self, *, first: bool) -> Picture:
        """Return the first frame, or the one with most detail: a flight begins where hardly a view may have looked."""
        picture = self._first if first else self._best
        assert picture is not None
        return picture


def likenesses(gaussians: Gaussians, views: Sequence[View], truths: Sequence[Picture]) -> NDArray[np.float64]:
    """Return (C,) PSNR in dB of the picture of each view against its truth, (H, W, 3) RGB."""
    from splat_pipeline.splatting.metrics import psnr

    pairs = zip(drawn(gaussians, views), truths, strict=True)
    return np.array([psnr(_share(seen), _share(truth)) for seen, truth in pairs], np.float64)


def _share(picture: Picture) -> NDArray[np.float32]:
    return (picture / np.float32(255)).astype(np.float32)


def lost_in(gaussians: Gaussians) -> Callable[[Sequence[View], float], NDArray[np.float64]]:
    """Return what says how much of the pictures of views is empty, or hidden right before the lens: ``turns.Lost``."""
    from splat_pipeline.splatting.holes import lost_share

    return lambda views, near: lost_share(gaussians, views, near=near)


def compared(gaussians: Gaussians, views: Sequence[View]) -> Callable[[Gaussians], float]:
    """Return what gives the mean PSNR in dB of pictures of other Gaussians against those of ``gaussians``.

    Pictures are 8 bits deep; equal ones count as 100 dB.
    """
    from splat_pipeline.splatting.metrics import psnr

    def pictures(others: Gaussians) -> Iterator[NDArray[np.float32]]:
        return ((picture / 255).astype(np.float32) for picture in drawn(others, views))

    want = list(pictures(gaussians))

    def compare(others: Gaussians) -> float:
        scores = [min(SAME_DB, psnr(picture, truth)) for picture, truth in zip(pictures(others), want, strict=True)]
        return float(np.mean(scores))

    return compare


def likeness(views: Sequence[View], truths: Sequence[Picture]) -> Callable[[Gaussians], float]:
    """Return what gives the mean PSNR in dB of Gaussians' pictures of ``views`` against ``truths`` (H, W, 3) RGB."""
    from splat_pipeline.splatting.film import film
    from splat_pipeline.splatting.metrics import psnr

    wanted = [(truth / np.float32(255)).astype(np.float32) for truth in truths]

    def score(gaussians: Gaussians) -> float:
        pictures = (np.clip(picture, 0, 1) for picture in film(gaussians, views))
        return float(np.mean([min(SAME_DB, psnr(seen, truth)) for seen, truth in zip(pictures, wanted, strict=True)]))

    return score


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many of ``items``, evenly spread."""
    return [items[i] for i in sorted({round(i * (len(items) - 1) / max(1, most - 1)) for i in range(most)}) if items]


def save_jpeg(picture: Picture, path: Path, *, quality: int = 90) -> None:
    """Write (H, W, 3) RGB."""
    Image.fromarray(picture).save(path, "JPEG", quality=quality, optimize=True)


def read_picture(path: Path) -> Picture:
    """Return (H, W, 3) RGB of what ``save_jpeg`` wrote."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def data_uri(picture: Picture | Path, *, longer_side_px: int, quality: int = 80) -> str:
    """Return a picture, or the one in a file, as a JPEG of at most this size in a ``data:`` address."""
    image = Image.open(picture) if isinstance(picture, Path) else Image.fromarray(picture)
    shown = image.convert("RGB")
    shown.thumbnail((longer_side_px, longer_side_px), Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    shown.save(packed, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode("ascii")


def svg_uri(drawing: str) -> str:
    """Return an SVG file in a ``data:`` address."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")
