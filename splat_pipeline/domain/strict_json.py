"""JSON that comes from outside: capped, finite, an object."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from splat_pipeline.domain.errors import BadPoses


def parse_object(text: bytes, *, file: str, max_bytes: int) -> dict[str, Any]:
    """Return the object in ``text``. Raises ``BadPoses`` naming ``file``: too large, no JSON, NaN, no object."""

    def refuse(constant: str) -> NoReturn:
        raise BadPoses(f"{file}: {constant} is no finite number", file=file)

    if len(text) > max_bytes:
        raise BadPoses(f"{file} is larger than {max_bytes >> 20} MiB", file=file)
    try:
        data = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadPoses(f"{file} is not JSON: {error}", file=file) from None
    if not isinstance(data, dict):
        raise BadPoses(f"{file} must hold keys and values, not {type(data).__name__}", file=file)
    return data


def number_in(value: Any, what: str, *, file: str) -> float:
    """Return ``value`` as a float. Raises ``BadPoses`` naming ``what`` where it is no number, or absurdly large."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        raise BadPoses(f"{file}: {what} is {value!r:.60}, not a number", file=file)
    return float(value)
