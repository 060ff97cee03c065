"""Children that do not start from nothing: the SfM worker is imported once, and forked for every request.

Starting Python and importing pycolmap takes longer than the work on a small capture. What is run, and how it is
watched and told of, stays as it is; the child has no memory limit and no log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

WORKER = "resources.colmap_worker"


def serve() -> None:
    """Fork for each line of standard input, [request, folder]; answer with [status, seconds, peak in KiB]."""
    import zlib  # noqa: F401  # before pycolmap

    from resources import colmap_worker

    for line in sys.stdin:
        request, folder = json.loads(line)
        began = time.monotonic()
        pid = os.fork()
        if not pid:
            _be_a_child(colmap_worker.main, request, folder)
        _, status, usage = os.wait4(pid, 0)
        answer = [os.waitstatus_to_exitcode(status), time.monotonic() - began, usage.ru_maxrss]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _be_a_child(main: Any, request: str, folder: str) -> None:
    code = 1
    try:
        os.chdir(folder)
        log = os.open(Path(folder, "nursery.log"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = [WORKER, request]
        main()
        code = 0
    finally:
        os._exit(code)


class Nursery:
    """Stands in the place of ``sandbox.watch_child`` for the SfM worker."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", "from benchmarks.gates.nursery import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def watch(self, argv: Sequence[str], *, cwd: Path | None = None, **_: Any) -> Any:
        """Run one request to its end."""
        from resources.sandbox import Finished

        assert argv[-2] == WORKER
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([argv[-1], str(cwd)]) + "\n")
        self.process.stdin.flush()
        code, seconds, peak_kib = json.loads(self.process.stdout.readline())
        log = Path(cwd or ".", "nursery.log")
        lines = log.read_text(errors="replace").splitlines()[-200:] if log.is_file() else []
        return Finished(
            argv=tuple(argv), returncode=code, timed_out=False, seconds=seconds, peak_rss_bytes=1024 * peak_kib,
            cpu_s=seconds, last_lines=tuple(lines),
        )  # fmt: skip

    def run(self, argv: Sequence[str], **more: Any) -> Any:
        """As ``watch``; what went wrong is raised."""
        finished = self.watch(argv, **more)
        if finished.problem is not None:
            raise finished.problem
        return finished

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def nursed() -> Iterator[None]:
    """Have the SfM worker's children forked for a while."""
    nursery = Nursery()
    try:
        with (
            mock.patch("resources.colmap.watch_child", nursery.watch),
            mock.patch("resources.colmap.run_child", nursery.run),
            mock.patch("resources.workers.run_child", nursery.run),
        ):
            yield
    finally:
        nursery.close()
