"""Files of artifacts over HTTP, to be looked at: for links in Dagster's UI.

``GET /<job>/<asset>/<version>/<file>``, and nothing else: no listing, no writing, and only files that the artifact's
manifest names, which is held against their checksums when it is first asked for. Ranges are answered, so that films
can be wound. It has no login: it listens on loopback, and an authenticating proxy belongs before it anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from splat_pipeline.domain.errors import ArtifactError, InputError
from splat_pipeline.ports.stores import Store

JOB, ASSET, VERSION = (
    re.compile(text) for text in (r"[a-z0-9][a-z0-9-]{0,80}", r"[a-z][a-z0-9_]{0,80}", r"[0-9a-f]{8,64}")
)
KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json", ".jpg": "image/jpeg", ".mp4": "video/mp4"}
"""What a browser may take for what it is; all else is a download."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # A page of ours runs its script, and still cannot act in the name of what else this host serves.
    "Content-Security-Policy": "sandbox allow-scripts allow-popups",
    "Cache-Control": "private, max-age=86400, immutable",
}


def artifact_server(store: Store, *, hosts: Sequence[str] = ("127.0.0.1", "localhost")) -> Starlette:
    """Return the application. ``hosts``: names that it answers to, against pages that rebind theirs to this machine."""

    @lru_cache(maxsize=256)
    def folder_of(job: str, asset: str, version: str) -> tuple[Path, frozenset[str]]:
        artifact = store.fetch(job, asset, version)
        return artifact.folder, frozenset(str(entry["name"]) for entry in artifact.manifest["files"])

    def give(request: Request) -> Response:
        job, asset, version, name = (str(request.path_params[key]) for key in ("job", "asset", "version", "name"))
        if not (JOB.fullmatch(job) and ASSET.fullmatch(asset) and VERSION.fullmatch(version)):
            raise HTTPException(404)
        try:
            folder, names = folder_of(job, asset, version)
        except (ArtifactError, InputError):
            raise HTTPException(404) from None
        path = folder / name
        if name not in names or path.is_symlink() or not path.is_file():
            folder_of.cache_clear()  # retention, or a full disk of copies, may have taken it: the next one looks again
            raise HTTPException(404)
        kind = KINDS.get(path.suffix)
        how = "inline" if kind else "attachment"
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            filename=path.name,
            content_disposition_type=how,
            headers=HEADERS,
        )

    app = Starlette(
        routes=[Route("/{job}/{asset}/{version}/{name:path}", give, methods=["GET"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )
    app.router.redirect_slashes = False
    return app
