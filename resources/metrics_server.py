"""A web server with two pages: ``/metrics`` for Prometheus, ``/healthz`` for whoever watches that all is well."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from resources.health import Check


@contextmanager
def metrics_server(
    figures: Collector, checks: Callable[[], Mapping[str, Check]], *, host: str, port: int
) -> Iterator[ThreadingHTTPServer]:
    """Give a server that is bound and not yet serving; port 0 is a free one.

    ``/healthz`` answers 200 when all is well and 503 when something is not, with every check as JSON.
    """
    registry = CollectorRegistry()
    registry.register(figures)
    one_at_a_time = threading.Lock()

    def page(path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
        if path == "/healthz":
            found = checks()
            ok = all(check.ok for check in found.values())
            told = {"ok": ok, "checks": {name: asdict(check) for name, check in found.items()}}
            return 200 if ok else 503, "application/json", json.dumps(told).encode()
        return 404, "text/plain", b"/metrics or /healthz\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with one_at_a_time:
                status, kind, body = page(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: a scrape is no news."""

    with ThreadingHTTPServer((host, port), Handler) as server:
        server.daemon_threads = True
        yield server
