"""``SheetMaker`` over Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = 8
GAP_PX = 6
LINE_PX = 14
BACKGROUND, INK, MARK = (24, 24, 27), (228, 228, 231), (45, 212, 191)
MARK_PX = 4


class ContactSheets:
    """Grids of small pictures with a caption of a few lines under each, no wider than the pictures."""

    def contact_sheet(
        self,
        images: Sequence[NDArray[np.uint8]],
        captions: Sequence[str],
        path: Path,
        *,
        marked: Sequence[bool] | None = None,
    ) -> None:
        """See ``SheetMaker``. Raises ``ValueError`` when there are no images, or not a caption for each."""
        from PIL import Image, ImageDraw, ImageFont

        if not images or len(images) != len(captions):
            raise ValueError(f"{len(images)} images and {len(captions)} captions make no contact sheet")
        columns = min(COLUMNS, len(images))
        wide = max(image.shape[1] for image in images) + GAP_PX
        font = ImageFont.load_default(11)
        words = [fitted(caption, wide - GAP_PX, font.getlength) for caption in captions]
        lines = max(2, *(len(text.splitlines()) for text in words))
        high = max(image.shape[0] for image in images) + lines * LINE_PX + GAP_PX
        rows = -(-len(images) // columns)
        sheet = Image.new("RGB", (columns * wide + GAP_PX, rows * high + GAP_PX), BACKGROUND)
        draw = ImageDraw.Draw(sheet)
        for i, (image, text) in enumerate(zip(images, words, strict=True)):
            x, y = GAP_PX + i % columns * wide, GAP_PX + i // columns * high
            sheet.paste(Image.fromarray(image), (x, y))
            if marked is not None and marked[i]:
                edge = (x, y, x + image.shape[1] - 1, y + image.shape[0] - 1)
                draw.rectangle(edge, outline=MARK, width=MARK_PX)
            draw.multiline_text((x, y + image.shape[0] + 1), text, fill=INK, font=font, spacing=1)
        sheet.save(path, "JPEG", quality=85)


def fitted(caption: str, width_px: int, length_px: Callable[[str], float]) -> str:
    """Return ``caption`` in lines of at most ``width_px``, broken between words; a word that is wider is cut."""
    lines: list[str] = []
    for line in caption.splitlines():
        begun = len(lines)
        for word in line.split():
            joined = f"{lines[-1]} {word}" if len(lines) > begun else word
            if len(lines) > begun and length_px(joined) <= width_px:
                lines[-1] = joined
            else:
                while len(word) > 1 and length_px(word) > width_px:
                    word = word[:-1]  # noqa: PLW2901
                lines.append(word)
    return "\n".join(lines)
