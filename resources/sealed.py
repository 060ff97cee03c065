"""Small records as JSON that says of itself whether it arrived as it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.ports.stores import Place

SEAL = "seal"
"""sha256 of the rest of the record, its keys sorted."""
READS = 3
"""A network now and then gives other bytes than were stored: so often a record is read before it is called damaged."""


def sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as it is stored."""
    return json.dumps({**record, SEAL: _seal(record)}, indent=1).encode()


def opened(data: bytes) -> dict[str, Any] | None:
    """Return the record that ``sealed`` gave, or None when it was cut off or changed."""
    try:
        record = json.loads(data)
        seal = record.pop(SEAL)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if _seal(record) == seal else None


def read_sealed(place: Place, name: str) -> dict[str, Any]:
    """Read a record. Raises ``CorruptArtifact`` when it is not what was written, ``FileNotFoundError``."""
    for _ in range(READS):
        record = opened(place.read(name))
        if record is not None:
            return record
    raise CorruptArtifact(f"{name} is not what was written", file=name.rsplit("/", 1)[-1])


def _seal(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
