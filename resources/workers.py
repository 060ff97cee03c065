"""Our own modules run as child processes: a request in JSON, an answer in JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resources.sandbox import UNLIMITED, Limits, run_child
from splat_pipeline.domain.errors import ToolCrashed
from splat_pipeline.ports.progress import Say


def run_python_worker(
    module: str,
    request: Mapping[str, Any],
    *,
    folder: Path,
    time_limit_s: float,
    limits: Limits = UNLIMITED,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Run one of our modules in a process of its own and return its answer. Raises as ``run_child``.

    The module reads the request from the JSON file that it is given and writes its answer as JSON to ``result``, a path
    that is added to the request. Both lie in ``folder``, with the log.
    """
    run_child(
        worker_argv(module, request, folder=folder),
        time_limit_s=time_limit_s,
        limits=limits,
        cwd=folder,
        log=folder / "worker.log",
        say=say,
    )
    return worker_answer(folder)


def worker_argv(module: str, request: Mapping[str, Any], *, folder: Path) -> list[str]:
    """Write the request to ``folder`` and return the argument list. -P: the current folder must not hide a module."""
    path = folder / "request.json"
    path.write_text(json.dumps({**request, "result": str(folder / "result.json")}), encoding="utf-8")
    return [sys.executable, "-P", "-m", module, str(path)]


def worker_answer(folder: Path) -> dict[str, Any]:
    """Return what the worker wrote. Raises ``ToolCrashed`` when it ended without an answer."""
    path = folder / "result.json"
    if not path.is_file():
        raise ToolCrashed("the worker ended without an answer")
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return answer
