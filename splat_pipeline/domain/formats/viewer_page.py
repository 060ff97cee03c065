"""The Gaussians inside a ``viewer.html``: an ``.spz`` in base64, in a script element of its own."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.spz import unpacked
from splat_pipeline.domain.gaussians import Gaussians

MARK = b"<!doctype html>"
_BEFORE, _AFTER = b'<script type="text/plain" id="splat">', b"</script>"


def read_viewer_page(path: Path) -> Gaussians:
    """Read ``path``. Raises ``CorruptArtifact``; a forged count takes no memory before that."""
    _, found, rest = path.read_bytes().partition(_BEFORE)
    packed, ended, _ = rest.partition(_AFTER)
    if not found or not ended:
        raise CorruptArtifact(f"{path.name} is a page without a splat", file=path.name)
    try:
        content = base64.b64decode(packed.strip(), validate=True)
    except binascii.Error as error:
        raise CorruptArtifact(f"{path.name} is a page whose splat was damaged: {error}", file=path.name) from None
    return unpacked(io.BytesIO(content), path)
