"""What the first bytes and the metadata of a media file mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from splat_pipeline.domain.positions import fix_or_none

HEAD_BYTES = 1024
"""As many bytes of a file as ``container_of`` and ``foreign`` want to see."""
_BOXES = frozenset([b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"])
_FOREIGN: dict[bytes, str] = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "an ffconcat playlist",
    b"<?xml": "XML",
    b"<MPD": "a DASH playlist",
    b"[playlist]": "a playlist",
    b"FLV": "Flash video",
    b"\x30\x26\xb2\x75": "Windows Media",
    b"\x00\x00\x01\xba": "an MPEG program stream",
    b"GIF8": "a GIF",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a zip",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"%PDF": "a PDF",
}
# AVColorTransferCharacteristic and AVColorPrimaries, as in ITU-T H.273 tables 3 and 2; AVColorRange
_TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_DATES = ("com.apple.quicktime.creationdate", "creation_time", "date")
_RANGES = {1: "limited", 2: "full"}


def container_of(head: bytes) -> str | None:
    """Return mov, matroska, avi or mpegts by the first ``HEAD_BYTES`` of a file, None for everything else."""
    if head[4:8] in _BOXES:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] in {b"AVI ", b"AVIX"}:
        return "avi"
    for first, step in ((0, 188), (4, 192)):  # plain, and with the time codes of camcorders
        if len(head) > first + 2 * step and all(head[first + i * step] == 0x47 for i in range(3)):
            return "mpegts"
    return None


def foreign(head: bytes) -> str | None:
    """Return what a file that is no clip is, when its first bytes tell."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((kind for magic, kind in _FOREIGN.items() if text.startswith(magic) or head.startswith(magic)), None)


def transfer_name(code: int | None) -> str | None:
    """Return the name of transfer characteristics, None when unspecified."""
    return None if code is None else _TRANSFERS.get(code)


def primaries_name(code: int) -> str | None:
    """Return the name of colour primaries, None when unspecified."""
    return _PRIMARIES.get(code)


def range_name(code: int) -> str | None:
    """Return "limited" (luma 16 to 235 in 8 bits) or "full", None when unspecified: then it is limited."""
    return _RANGES.get(code)


def place_of(text: str | None) -> tuple[float | None, float | None, float | None]:
    """Return (latitude, longitude, altitude) of an ISO 6709 string like +48.1372+011.5755+519.0/, degrees and metres.

    Degrees may carry minutes and seconds (+4808.23, +480813.9). What cannot be read, lies off the globe or
    at 0/0 is None.
    """
    match = re.match(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)?", (text or "").strip())
    if match is None:
        return None, None, None
    lat, lon = _degrees(match[1], 2), _degrees(match[2], 3)
    fix = fix_or_none(0.0, lat, lon, float(match[3]) if match[3] else None)
    return (fix.lat_deg, fix.lon_deg, fix.alt_m) if fix else (None, None, None)


def _degrees(text: str, digits: int) -> float:
    sign, body = (-1.0 if text[0] == "-" else 1.0), text[1:]
    whole = len(body.split(".")[0])
    if whole <= digits:
        return sign * float(body)
    if whole <= digits + 2:
        return sign * (float(body[:digits]) + float(body[digits:]) / 60)
    return sign * (float(body[:digits]) + float(body[digits : digits + 2]) / 60 + float(body[digits + 2 :]) / 3600)


def tags_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return created_utc, make, model, focal_35mm_mm, lat_deg, lon_deg, alt_m of a container's tags.

    Known are Apple's and Android's keys and the plain ones. Apple's date comes first: it says when it was filmed, the
    plain one when the file was written, which an export sets anew.
    """
    tags = {key.lower(): value.strip() for key, value in metadata.items()}

    def first(*keys: str) -> str | None:
        return next((tags[key] for key in keys if tags.get(key)), None)

    lat, lon, alt = place_of(
        first("com.apple.quicktime.location.iso6709", "location", "location-eng", "com.apple.quicktime.location")
    )
    return {
        "created_utc": next(filter(None, map(utc_of, (tags.get(key) for key in _DATES))), None),
        "make": first("com.apple.quicktime.make", "com.android.manufacturer", "make"),
        "model": first("com.apple.quicktime.model", "com.android.model", "model"),
        "focal_35mm_mm": _length_mm(first("com.apple.quicktime.camera.focal_length.35mm_equivalent")),
        "lat_deg": lat,
        "lon_deg": lon,
        "alt_m": alt,
    }


def _length_mm(text: str | None) -> float | None:
    match = re.match(r"\d+(\.\d+)?", text or "")
    return float(match[0]) or None if match else None


def utc_of(text: str | None) -> str | None:
    """Return a time stamp as ISO 8601 in UTC with seconds; one without a zone, or unreadable, is None."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year < 1971:  # cameras without a clock write 1904 or 1970
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
