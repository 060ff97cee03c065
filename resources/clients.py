"""Clients of object stores that wait for an answer so long and no longer.

By their defaults a store that takes connections and never answers is waited for by s3fs five times over what botocore
tries five times, a minute each: 25 minutes of one request.
"""

from __future__ import annotations

from typing import Any

CONNECT_S = 10
ANSWER_S = 30
"""Between two bytes. A store that copies a large object says so every now and then."""
ATTEMPTS = 2
"""Of botocore, for answers that say so; s3fs tries five times more, Azure's client three times."""


def opened(url: str) -> Any:
    """Return the ``UPath`` of a prefix, its listings never remembered. Needs the package of the store's scheme."""
    from upath import UPath

    return UPath(url, use_listings_cache=False, **patience(url.split("://", 1)[0]))


def patience(scheme: str) -> dict[str, Any]:
    """Return what the clients of a scheme are given for their patience; of others they have their own."""
    if scheme in ("s3", "s3a"):
        retries = {"total_max_attempts": ATTEMPTS}
        waits = {"connect_timeout": CONNECT_S, "read_timeout": ANSWER_S, "retries": retries}
        return {"config_kwargs": waits}
    if scheme in ("az", "abfs", "abfss", "adl"):
        return {"connection_timeout": CONNECT_S, "read_timeout": ANSWER_S}
    return {}
