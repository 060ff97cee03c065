"""GoPro telemetry (GPMF), written by its specification."""

import struct


def item(key, kind, size, count, body):
    return struct.pack(">4scBH", key.encode(), kind.encode("latin-1"), size, count) + body + b"\0" * (-len(body) % 4)


def nest(key, *items):
    body = b"".join(items)
    return item(key, "\0", 1, len(body), body)


def ints(key, values, kind="l"):
    letter = {"l": "i", "L": "I", "S": "H", "s": "h"}[kind]
    return item(key, kind, struct.calcsize(f">{letter}"), len(values), struct.pack(f">{len(values)}{letter}", *values))


def gps5(places, *, fix=3, dilution=150, scales=(10_000_000, 10_000_000, 1000, 1000, 100), extra=b""):
    rows = [struct.pack(">5i", round(lat * 1e7), round(lon * 1e7), round(alt * 1e3), 0, 0) for lat, lon, alt in places]
    said = [ints("GPSF", [fix], "L"), ints("GPSP", [dilution], "S")]
    return nest("STRM", *said, ints("SCAL", scales), item("GPS5", "l", 20, len(rows), b"".join(rows)), extra)


def gps9(rows):
    packed = [
        struct.pack(">7i2H", round(lat * 1e7), round(lon * 1e7), round(alt * 1e3), 0, 0, 8000, 1000, dilution, fix)
        for lat, lon, alt, dilution, fix in rows
    ]
    scales = (10_000_000, 10_000_000, 1000, 1000, 100, 1, 1000, 100, 1)
    said = item("TYPE", "c", 1, 9, b"lllllllSS")
    return nest("STRM", said, ints("SCAL", scales), item("GPS9", "?", 32, len(packed), b"".join(packed)))


def packet(*streams):
    accelerometer = nest("STRM", ints("SCAL", [418], "s"), item("ACCL", "s", 6, 3, b"\1\2\3\4\5\6" * 3))
    return nest("DEVC", item("DVNM", "c", 1, 5, b"Hero7"), accelerometer, *streams)
