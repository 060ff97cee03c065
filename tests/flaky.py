"""An S3 server that fails: a proxy on loopback that does harm to some of what passes through it.

with flaky(upstream) as proxy:
    proxy.faults = {"reset": 0.2, "short": 0.1}      # by chance, the rest passes as it is
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ANSWERS = {
    "internal_error": (500, "InternalError"),
    "unavailable": (503, "ServiceUnavailable"),
    "slow_down": (503, "SlowDown"),
}
HARMS = ("cut", "short", "flipped")
"""To the body of an object: broken off; without its end, with a length that agrees; with another byte."""
FAULTS = (*ANSWERS, "reset", "lost", *HARMS, "slow", "mute")
"""``reset``: the connection, before the request was done; ``lost``: the answer to a request that was done;
``mute``: the request is taken, and nothing ever answered."""
_HOP = {"Connection", "Transfer-Encoding", "Keep-Alive"}


@dataclass(kw_only=True)
class Proxy:
    """What is done to requests."""

    upstream: str
    rng: random.Random
    faults: Mapping[str, float] = field(default_factory=dict)
    """Chance of each; the rest passes."""
    slow_s: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    """Set at the end: nobody waits any longer."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> str:
        """Return the next fault, or an empty text."""
        with self._lock:
            names = [*self.faults]
            rest = max(0.0, 1.0 - sum(self.faults.values()))
            (fault,) = self.rng.choices([*names, ""], [*(self.faults[name] for name in names), rest])
            self.done[fault] += 1
            return fault

    def place(self, length: int) -> int:
        """Return where in a body harm is done."""
        with self._lock:
            return self.rng.randrange(length)


@contextmanager
def flaky(upstream: str, *, seed: int = 0) -> Iterator[Proxy]:
    """Serve what ``upstream`` serves, with faults."""
    proxy = Proxy(upstream=upstream, rng=random.Random(seed))
    server = _Server(proxy)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.proxy.draw()
        if fault == "slow":
            time.sleep(self.server.proxy.slow_s)
        if fault == "mute":
            self.server.proxy.over.wait()
        if fault in ("reset", "mute"):
            self._reset()
        elif fault in ANSWERS:
            status, code = ANSWERS[fault]
            self._answer(status, {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code></Error>".encode())
        else:
            self._pass_on(body, fault)

    def _pass_on(self, body: bytes, fault: str) -> None:
        connection = HTTPConnection(urlsplit(self.server.proxy.upstream).netloc, timeout=60)
        try:
            connection.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if fault == "lost":
            self._reset()
        elif fault in HARMS and self._is_object(response, data):
            self._harm(response, data, fault)
        else:
            self._answer(response.status, _kept(response, head=self.command == "HEAD"), data)

    def _is_object(self, response: HTTPResponse, data: bytes) -> bool:
        return self.command == "GET" and response.status in (200, 206) and len(data) > 1 and not _is_list(self.path)

    def _harm(self, response: HTTPResponse, data: bytes, fault: str) -> None:
        at, headers = self.server.proxy.place(len(data)), _kept(response, head=False)
        if fault == "short":
            self._answer(response.status, headers, data[:at])
        elif fault == "flipped":
            self._answer(response.status, headers, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        else:
            self._head(response.status, headers, len(data))
            self.wfile.write(data[:at])
            self._reset()

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _answer(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._head(status, headers, len(data))
        self.wfile.write(data)

    def _reset(self) -> None:
        """Close with RST, as a machine does that forgot the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815  # names of the base class


def _kept(response: HTTPResponse, *, head: bool) -> dict[str, str]:
    """Return the headers that go on; checksums do not: a server without them is the worse case."""
    kept = {name.title(): value for name, value in response.getheaders()}
    return {
        name: value
        for name, value in kept.items()
        if name not in _HOP and (head or name != "Content-Length") and not name.startswith("X-Amz-Checksum")
    }


def _is_list(path: str) -> bool:
    return "list-type=" in path or "prefix=" in path
