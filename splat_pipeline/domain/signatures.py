"""Signatures of messages: HMAC-SHA256 (RFC 2104) over the time of sending and the body.

    v1=<hex of HMAC-SHA256(secret, "<unix seconds>.<body>")>

The time is signed with the body, so that a message that was overheard cannot be sent again later.
"""

from __future__ import annotations

import hashlib
import hmac

VERSION = "v1"
TOLERANCE_S = 300
"""A message that is further away in time than this is not believed."""


def sign(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """Return the signature of ``body`` sent at ``timestamp_s`` (Unix time, whole seconds)."""
    return f"{VERSION}={hmac.new(secret, f'{timestamp_s}.'.encode() + body, hashlib.sha256).hexdigest()}"


def is_genuine(secret: bytes, timestamp_s: int, body: bytes, signature: str, *, now_s: float) -> bool:
    """Tell whether ``signature`` is of ``secret``, ``body`` and ``timestamp_s``, within ``TOLERANCE_S`` of now."""
    fresh = abs(now_s - timestamp_s) <= TOLERANCE_S
    return hmac.compare_digest(sign(secret, timestamp_s, body).encode(), signature.encode()) and fresh
