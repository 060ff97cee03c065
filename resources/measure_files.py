"""Measures of frames on their way between processes: a line of JSON a frame, and small JPEGs one after the other.

Written and read as they come, so that an hour of video takes no more memory than a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from splat_pipeline.domain.frames import FrameMeasure

LINES, PICTURES = "measures.jsonl", "thumbnails.bin"
QUALITY = 90


def write_measures(measures: Iterable[FrameMeasure], folder: Path) -> int:
    """Write measures to ``folder``, over what is there; return how many."""
    import cv2

    count = 0
    with (folder / LINES).open("w", encoding="utf-8") as lines, (folder / PICTURES).open("wb") as pictures:
        for measure in measures:
            row, size = vars(replace(measure, thumbnail=None)), 0
            if measure.thumbnail is not None:
                encoded = cv2.imencode(".jpg", measure.thumbnail[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
                size = pictures.write(encoded.tobytes())
            lines.write(json.dumps({**row, "thumbnail": size}) + "\n")
            count += 1
    return count


def read_measures(folder: Path) -> Iterator[FrameMeasure]:
    """Yield what ``write_measures`` wrote."""
    import cv2

    with (folder / LINES).open(encoding="utf-8") as lines, (folder / PICTURES).open("rb") as pictures:
        for line in lines:
            row = json.loads(line)
            encoded = np.frombuffer(pictures.read(row["thumbnail"]), np.uint8)
            picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if len(encoded) else None
            yield FrameMeasure(**{**row, "thumbnail": picture})
