"""An installation as in production, for tests that break it: code server, daemon, and what they start.

    with Plant(home=tmp_path).running() as plant:
        plant.drop("garden", {"a.mp4": b"..."})
        plant.until(lambda: plant.delivered() == 1, within_s=120)

Each process is started again when it dies, as systemd and compose do. All that a plant started, however far removed,
carries its mark in the environment: nothing is missed when it is counted, killed or stopped.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from splat_pipeline.settings import Settings, Spot

MARK = "SPLAT_TEST_PLANT"
LOCATION = "splat_pipeline"
HERE = Path(__file__).resolve().parent
LOOK_S = 0.5
QUICK: dict[str, Any] = {
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1},
    },
    "run_monitoring": {"poll_interval_seconds": 2, "start_timeout_seconds": 900, "free_slots_after_run_end_seconds": 5},
}
"""Laid over the packaged dagster.yaml: intervals of a test, in place of those of a laptop."""
DEAD = {"Z", "X", ""}
OTHERS = ("multiprocessing.resource_tracker", "watch_orphans.py", "tail -F", "file -b")
"""In the command lines of Python's and Dagster's own helpers."""


@dataclass(kw_only=True)
class Plant:
    """One installation below ``home``."""

    home: Path
    module: str = "splat_pipeline.definitions"
    """Of the code location."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    instance: Mapping[str, Any] = field(default_factory=dict)
    """Laid over dagster.yaml, after ``QUICK``."""
    environ: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    wanted: dict[str, subprocess.Popen[bytes] | None] = field(default_factory=dict)
    """What must run, by name, and its process."""
    restarts: int = 0

    def __post_init__(self) -> None:
        """Make the folders and the settings."""
        self.settings = Settings(home=str(self.home), stable_s=0, poll_s=5)
        self.port = free_port()
        dagster = self.settings.folder("dagster")
        for folder in (dagster, self.place("inbox")):
            folder.mkdir(parents=True, exist_ok=True)
        template = yaml.safe_load(files("splat_pipeline").joinpath("dagster.yaml").read_text())
        (dagster / "dagster.yaml").write_text(yaml.safe_dump(over(over(template, QUICK), self.instance)))
        server = {"host": "127.0.0.1", "port": self.port, "location_name": LOCATION}
        (dagster / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        self.runs()  # makes the database: two processes that both find none leave it broken

    def place(self, name: Spot) -> Path:
        """Return one of the places of uploads, artifacts and results."""
        return Path(self.settings.place(name))

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of the plant."""
        paths = [str(HERE / "faults"), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("SPLAT__")},
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "DAGSTER_HOME": str(self.settings.folder("dagster")),
            "SPLAT__HOME": str(self.home),
            "SPLAT__STABLE_S": "0",
            "SPLAT__POLL_S": "5",
            **{f"SPLAT__RECIPE__{key.upper()}": _told(value) for key, value in self.recipe.items()},
            **self.environ,
            MARK: self.mark,
        }

    def command(self, name: str) -> list[str]:
        """Return the argument list of one of the processes."""
        if name == "code":
            where = ["-h", "127.0.0.1", "-p", str(self.port), "-m", self.module, "--location-name", LOCATION]
            return [sys.executable, "-m", "dagster", "api", "grpc", *where]
        workspace = self.settings.folder("dagster") / "workspace.yaml"
        return [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]

    @contextmanager
    def running(self) -> Iterator[Plant]:
        """Start everything; nothing of it runs afterwards."""
        heed()
        self.wanted = {"code": None, "daemon": None}
        try:
            self.tend()
            yield self
        finally:
            self.crash()
            self.wanted = {}

    def tend(self) -> None:
        """Start what should run and does not."""
        for name, process in self.wanted.items():
            if process is None or process.poll() is not None:
                self.restarts += process is not None
                with (self.home / f"{name}.log").open("ab") as log:
                    self.wanted[name] = subprocess.Popen(
                        self.command(name), env=self.environment, cwd=self.home, stdout=log, stderr=log
                    )

    def crash(self) -> None:
        """Kill all of it at once, as when the host goes down."""
        while alive := self.processes():
            for pid in alive:
                kill(pid)
        for process in self.wanted.values():
            if process is not None:
                process.wait()

    def stop(self, *, within_s: float) -> float:
        """End it as a service manager does, with SIGTERM to all of it; return the seconds until nothing was left."""
        processes = [process for process in self.wanted.values() if process is not None]
        self.wanted, began_s = dict.fromkeys(self.wanted), time.monotonic()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline_s = began_s + within_s
        for process in processes:
            process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
        while left := self.processes():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"after {within_s:g} s there are still {left}")
            time.sleep(LOOK_S)
        return time.monotonic() - began_s

    def processes(self) -> dict[int, str]:
        """Return what runs of this plant: process id to role (code, daemon, worker, step, tool, other)."""
        return {pid: role(pid) for pid in marked(self.mark)}

    def is_up(self) -> bool:
        """Tell whether the code server answers."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def drop(self, name: str, contents: Mapping[str, bytes]) -> Path:
        """Put a complete upload into the inbox."""
        half = self.place("inbox") / f".{name}"
        half.mkdir()
        for file, data in contents.items():
            (half / file).write_bytes(data)
        (half / ".done").touch()
        return half.rename(half.with_name(name))

    def runs(self) -> list[dg.DagsterRun]:
        """Return all runs, newest first."""
        with dg.DagsterInstance.from_config(str(self.settings.folder("dagster"))) as instance:
            return list(instance.get_runs())

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """Return how a run goes now."""
        return next(now.status for now in self.runs() if now.run_id == run.run_id)

    def waiting(self) -> list[Path]:
        """Return the uploads in the inbox."""
        return [path for path in self.place("inbox").iterdir() if not path.name.startswith(".")]

    def ended(self) -> bool:
        """Tell whether the inbox is empty and no run is waiting or going on."""
        return not self.waiting() and all(run.is_finished for run in self.runs())

    def until(self, done: Callable[[], object], *, within_s: float) -> float:
        """Wait, keeping everything running, until ``done``; return the seconds. Raises ``TimeoutError``."""
        began_s = time.monotonic()
        while not done():
            if time.monotonic() - began_s > within_s:
                raise TimeoutError(f"not so after {within_s:g} s; {self.told()}")
            self.tend()
            time.sleep(LOOK_S)
        return time.monotonic() - began_s

    def told(self) -> str:
        """Return how each run went, and what the processes said last."""
        lines = [f"--- inbox: {sorted(path.name for path in self.place('inbox').iterdir())}"]
        with dg.DagsterInstance.from_config(str(self.settings.folder("dagster"))) as instance:
            for run in instance.get_runs():
                lines.append(f"--- run {run.run_id} {run.status.value} {run.tags}")
                events = [entry for entry in instance.all_logs(run.run_id) if entry.dagster_event]
                lines += [f"{e.timestamp:.1f} {e.step_key or ''} {e.message[:200]!r}" for e in events if is_news(e)]
        for path in sorted(self.home.glob("*.log")):
            lines += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-40:]]
        return "\n".join(lines)


def is_news(entry: dg.EventLogEntry) -> bool:
    """Tell whether an event is of interest to whoever asks what went wrong."""
    kind = entry.get_dagster_event().event_type_value
    return kind.startswith(("PIPELINE_", "ENGINE_")) or kind in {"STEP_FAILURE", "STEP_UP_FOR_RETRY", "STEP_RESTARTED"}


def _told(value: object) -> str:
    """Return a setting as the environment has it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, level by level."""
    both = {key: over(base[key], changes[key]) for key in base.keys() & changes.keys() if isinstance(base[key], dict)}
    return {**base, **changes, **both}


def heed() -> None:
    """Have SIGTERM end what is started from here, also where the tests were started with it ignored.

    What is ignored is inherited: by a shell's background jobs SIGINT, whose handler Dagster takes for SIGTERM's.
    """
    for number, usual in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def marked(mark: str) -> list[int]:
    """Return the living processes that were started with this mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _pids() if wanted in _read(pid, "environ").split(b"\0") and _state(pid) not in DEAD]


def role(pid: int) -> str:
    """Tell what a process of a plant is, by its command line and its parent's."""
    line = _command(pid)
    if "api grpc" in line:
        return "code"
    if "dagster._daemon" in line:
        return "daemon"
    if any(word in line for word in OTHERS):
        return "other"
    if "multiprocessing.forkserver" in line:
        return "step" if "multiprocessing.forkserver" in _command(_parent(pid)) else "other"
    if "multiprocessing.spawn" in line:
        return "worker" if "api grpc" in _command(_parent(pid)) else "other"
    return "tool"


def kill(pid: int) -> bool:
    """SIGKILL; False when it had ended before."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def _state(pid: int) -> str:
    return _read(pid, "stat").rpartition(b")")[2].split()[:1][0].decode() if _read(pid, "stat") else ""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0
