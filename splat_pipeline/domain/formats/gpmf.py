"""Positions in GoPro's telemetry (GPMF), as it lies in the ``gpmd`` stream of a clip, about a second a packet.

A packet is a row of items: key (4 letters), type (1 letter), size of a sample (1 byte), count (2 bytes), big endian,
then the samples, filled up to 4 bytes. Type 0 holds items itself: DEVC (a camera), in it STRM (a sensor), in it what
is measured. Of these we read

    GPS5    int32 x 5 a sample: latitude, longitude, altitude, speed, speed; divided by SCAL. 18 a second
    GPSF    fix of the samples of this stream: 0 none, 2 without altitude, 3 with
    GPSP    dilution of precision times 100; 9999: none
    GPS9    (HERO11 and later) int32 x 7, uint16 x 2: as GPS5, then days, seconds, dilution times 100, fix

Source: GoPro's gpmf-parser, README.md ("GPMF Deeper Dive") and docs. Everything is held against the packet's length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from splat_pipeline.domain.positions import Fix, fix_or_none

MAX_BYTES = 4 << 20
"""Of one packet; a second of telemetry has some 10 to 100 kB."""
MOST_ITEMS = 4096
DEEPEST = 6
WORST_DILUTION = 10.0
"""GoPro's own tools leave out what is worse than 5 to 10."""
_SCALES = {"s": "h", "S": "H", "l": "i", "L": "I", "f": "f"}
_GPS9 = struct.Struct(">7i2H")

Item = tuple[str, str, int, int, bytes]
"""Key, type, size of a sample, count, samples."""


def read_gpmf(packet: bytes, *, start_s: float, length_s: float) -> list[Fix]:
    """Return the positions in one packet that is shown from ``start_s`` on for ``length_s``; none where there are none.

    GPS9 is taken where a camera writes both. Samples are spread evenly over the packet.
    """
    if len(packet) > MAX_BYTES:
        return []
    sensors = [dict(_named(items)) for items in _sensors(packet, 0)]
    for key, read in (("GPS9", _gps9), ("GPS5", _gps5)):
        for sensor in sensors:
            if key in sensor:
                samples = read(sensor)
                step_s = length_s / max(1, len(samples))
                fixes = [fix_or_none(start_s + i * step_s, *sample) for i, sample in enumerate(samples) if sample]
                return [fix for fix in fixes if fix is not None]
    return []


def _items(data: bytes) -> Iterator[Item]:
    """Yield the items of ``data`` up to the first that is none, or does not fit."""
    at = 0
    for _ in range(MOST_ITEMS):
        if at + 8 > len(data):
            return
        key, kind, size, count = struct.unpack_from(">4scBH", data, at)
        length = size * count
        if not key.isalnum() or at + 8 + length > len(data):
            return
        yield key.decode("ascii"), kind.decode("latin-1"), size, count, data[at + 8 : at + 8 + length]
        at += 8 + -(-length // 4) * 4


def _sensors(data: bytes, depth: int) -> Iterator[list[Item]]:
    """Yield the items of every STRM in ``data``."""
    for item in _items(data):
        key, kind, _, _, body = item
        if kind == "\0" and depth < DEEPEST:
            if key == "STRM":
                yield list(_items(body))
            yield from _sensors(body, depth + 1)


def _named(items: list[Item]) -> Iterator[tuple[str, Item]]:
    for item in items:
        if item[0] in {"GPS5", "GPS9", "GPSF", "GPSP", "SCAL"}:
            yield item[0], item


Sample = tuple[float, float, float | None]


def _gps5(sensor: dict[str, Item]) -> list[Sample | None]:
    """Return latitude, longitude and altitude of each sample; None without a fix."""
    _, kind, size, count, body = sensor["GPS5"]
    fix, dilution, scales = _whole(sensor, "GPSF"), _whole(sensor, "GPSP"), _scales(sensor, 5)
    if kind != "l" or size != 20 or scales is None or fix in {0, 1}:
        return []
    if dilution is not None and dilution / 100 > WORST_DILUTION:
        return []
    rows = struct.iter_unpack(">5i", body[: count * size])
    return [(row[0] / scales[0], row[1] / scales[1], None if fix == 2 else row[2] / scales[2]) for row in rows]


def _gps9(sensor: dict[str, Item]) -> list[Sample | None]:
    _, kind, size, count, body = sensor["GPS9"]
    scales = _scales(sensor, 9)
    if kind != "?" or size != _GPS9.size or scales is None:
        return []
    out: list[Sample | None] = []
    for row in _GPS9.iter_unpack(body[: count * size]):
        fix, dilution = row[8] / scales[8], row[7] / scales[7]
        good = fix >= 2 and dilution <= WORST_DILUTION
        high = row[2] / scales[2] if fix >= 3 else None
        out.append((row[0] / scales[0], row[1] / scales[1], high) if good else None)
    return out


def _whole(sensor: dict[str, Item], key: str) -> int | None:
    """Return the first number of an item of unsigned integers; None where there is none."""
    if key not in sensor:
        return None
    _, kind, size, count, body = sensor[key]
    return int.from_bytes(body[:size], "big") if kind in {"L", "S", "B"} and count else None


def _scales(sensor: dict[str, Item], wanted: int) -> list[float] | None:
    """Return what the ``wanted`` numbers of a sample are divided by; None where that is not said or is zero."""
    if "SCAL" not in sensor:
        return None
    _, kind, size, count, body = sensor["SCAL"]
    letter = _SCALES.get(kind)
    if letter is None or size != struct.calcsize(f">{letter}") or count not in {1, wanted}:
        return None
    values = [float(value) for value in struct.unpack(f">{count}{letter}", body)]
    return (values * wanted if count == 1 else values) if all(values) else None
