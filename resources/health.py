"""Whether an installation works: its daemon, its database, its disks, its sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType

HEARTBEAT_S = 60.0
DAEMONS = ("SENSOR", "QUEUED_RUN_COORDINATOR")
"""Those without which no upload becomes a run."""
SENSOR = "uploads"
KEY = "splat/health"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One of the things that must be well."""

    ok: bool
    because: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is looked at."""

    instance: dg.DagsterInstance
    low: Callable[[], str | None]
    """Why the disks are too full; None: they are not."""
    tick_s: float
    """The sensor is well when its last tick is no older."""
    now_s: Callable[[], float]

    def checks(self) -> Mapping[str, Check]:
        """Return every check by name."""
        return dict(self._all())

    def _all(self) -> Iterator[tuple[str, Check]]:
        try:
            self.instance.daemon_cursor_storage.set_cursor_values({KEY: str(self.now_s())})
        except Exception as error:  # noqa: BLE001  # whatever the database says: that it cannot be written is the answer
            yield "database", Check(ok=False, because=f"it cannot be written: {type(error).__name__}")
        else:
            yield "database", Check(ok=True, because="written")
            yield "daemon", self._daemon()
            yield "sensor", self._sensor()
        low = self.low()
        yield "disk", Check(ok=low is None, because=low or "there is room")

    def _daemon(self) -> Check:
        beats = self.instance.get_daemon_heartbeats()
        ages = {name: self.now_s() - beats[name].timestamp for name in DAEMONS if name in beats}
        missing = [name for name in DAEMONS if name not in ages]
        if missing:
            return Check(ok=False, because=f"no heartbeat of {', '.join(missing)} yet")
        oldest_s = max(ages.values())
        return Check(ok=oldest_s < HEARTBEAT_S, because=f"last heartbeat {oldest_s:.0f} s ago")

    def _sensor(self) -> Check:
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        ticks = [
            tick
            for state in states
            if state.instigator_name == SENSOR
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        ]
        if not ticks:
            return Check(ok=False, because=f"{SENSOR} has not ticked yet")
        last = max(ticks, key=lambda tick: tick.timestamp)
        age_s = self.now_s() - last.timestamp
        return Check(ok=age_s < self.tick_s, because=f"last tick {age_s:.0f} s ago: {last.status.value.lower()}")
