"""PostgreSQL on loopback for tests, as an ordinary user: it refuses to run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plant import free_port

DEBIAN = Path("/usr/lib/postgresql")
ORDINARY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
STARTS_S = 120


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server of its own."""

    folder: Path
    programs: Path
    port: int

    def start(self) -> None:
        """Start it, and wait until it answers."""
        flags = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c max_connections=200"
        self._ctl("start", "-w", "-t", str(STARTS_S), "-l", str(self.folder / "log"), "-o", flags)

    def stop(self) -> None:
        """End it as a crash does: no connection is closed, nothing is written that was not on disk."""
        self._ctl("stop", "-m", "immediate")

    @property
    def dagster_yaml(self) -> dict[str, Any]:
        """What dagster.yaml says of it, with the scheme of docker/dagster.yaml."""
        where = {
            "hostname": "127.0.0.1",
            "port": self.port,
            "username": "dagster",
            "password": "",
            "db_name": "postgres",
        }
        return {"storage": {"postgres": {"postgres_db": {**where, "scheme": "postgresql+psycopg2"}}}}

    def _ctl(self, *arguments: str) -> None:
        command = [str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **ORDINARY)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Give a running server, with a superuser ``dagster``; skip, and say so, where PostgreSQL is not installed."""
    found = shutil.which("initdb") or next((str(path) for path in sorted(DEBIAN.glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("POSTGRESQL IS NOT TESTED: there is no initdb; Debian has it in the package postgresql")
    programs = Path(found).resolve().parent
    with tempfile.TemporaryDirectory(prefix="splat-postgres-") as name:
        folder = Path(name)
        if ORDINARY:
            shutil.chown(folder, ORDINARY["user"], ORDINARY["group"])
        made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "dagster", "-A", "trust", "--no-sync"]
        subprocess.run(made, check=True, cwd=folder, stdout=subprocess.DEVNULL, **ORDINARY)
        server = Postgres(folder=folder, programs=programs, port=free_port())
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
