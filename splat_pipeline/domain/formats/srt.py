"""Positions in subtitles: what drones write beside or into their clips, one cue a frame or a second.

A cue is a line of times (00:00:01,000 --> 00:00:01,033) and lines of text. Three forms of text are known:

    [latitude: 47.1] [longitude: 8.2] [rel_alt: 1.300 abs_alt: 482.215]     DJI since about 2019 ("longtitude" at first)
    [latitude: 47.1] [longitude: 8.2] [altitude: 482.215]                   DJI before
    GPS(8.2,47.1,16) BAROMETER:1.9  or  GPS (8.2, 47.1, 15), D 224.09m      DJI Phantom and Mavic: longitude first,
                                                                            then satellites; heights are above take-off
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from splat_pipeline.domain.positions import Fix, fix_or_none, in_order

MAX_BYTES = 64 << 20
"""Half an hour at 60 frames a second, 350 bytes a frame, is 38 MB."""
CUE_CHARS, MOST_CUES = 4096, 500_000
_NUMBER = r"([+-]?\d{1,6}(?:\.\d{1,12})?)"
_TIMES = re.compile(r"(\d{1,3}):(\d{2}):(\d{2})[,.](\d{1,3})\s{0,4}-->")
_LAT = re.compile(rf"\[\s{{0,4}}latitude\s{{0,4}}:\s{{0,4}}{_NUMBER}")
_LON = re.compile(rf"\[\s{{0,4}}longt?itude\s{{0,4}}:\s{{0,4}}{_NUMBER}")
_ALT = re.compile(rf"(?:\babs_alt|\[\s{{0,4}}altitude)\s{{0,4}}:\s{{0,4}}{_NUMBER}")
_PAIR = re.compile(rf"\bGPS\s{{0,4}}\(\s{{0,4}}{_NUMBER}\s{{0,4}},\s{{0,4}}{_NUMBER}\s{{0,4}}[,)]")


def read_srt(text: str) -> tuple[Fix, ...]:
    """Return the positions in subtitles, in order of time; cues that say nothing are left out.

    Times are those of the cues' beginnings: seconds of presentation, as the clip's first frame is at 0.
    """
    return in_order(position_in(body, start_s) for start_s, body in _cues(text))


def position_in(text: str, start_s: float) -> Fix | None:
    """Return the position that the text of one cue tells, at ``start_s``; None where it tells none."""
    lat, lon, alt = _LAT.search(text), _LON.search(text), _ALT.search(text)
    if lat and lon:
        return fix_or_none(start_s, float(lat[1]), float(lon[1]), float(alt[1]) if alt else None)
    pair = _PAIR.search(text)
    return fix_or_none(start_s, float(pair[2]), float(pair[1]), None) if pair else None


def _cues(text: str) -> Iterator[tuple[float, str]]:
    """Yield (seconds, text) of each cue. Text beyond ``CUE_CHARS`` is not looked at."""
    matches = islice(_TIMES.finditer(text), MOST_CUES)
    match = next(matches, None)
    while match is not None:
        after = next(matches, None)
        end = len(text) if after is None else after.start()
        hours, minutes, seconds, part = match.groups()
        start_s = 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(part.ljust(3, "0")) / 1000
        yield start_s, text[match.end() : min(end, match.end() + CUE_CHARS)]
        match = after
