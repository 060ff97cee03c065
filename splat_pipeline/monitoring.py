"""The figures and the health of this installation, served. Settings in, the parts put together."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from resources.followed import Followed
from resources.health import Health
from resources.metrics_server import metrics_server
from resources.telemetry import Figures
from splat_pipeline.definitions import JOB
from splat_pipeline.domain import tables
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings
from splat_pipeline.upkeep import Watch, guard_of, instance_of

TICKS = 6
"""So many polls without a tick of the sensor are too many."""


def serve(settings: Settings, *, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT comes. ``say`` is told the address once it listens."""
    place, guard = store_of(settings).place, guard_of(settings)
    watch = Watch(settings=settings, job_name=JOB)
    with instance_of(settings) as instance:
        figures = Figures(
            instance=instance,
            stages=Followed(place, tables.STAGES),
            gates=Followed(place, tables.GATES),
            freed=Followed(place, tables.FREED),
            folders=guard.folders,
            prices=settings.prices,
            spent=watch.spent,
            now_s=time.time,
        )
        tick_s = max(60.0, TICKS * settings.poll_s)
        health = Health(instance=instance, low=guard.low, tick_s=tick_s, now_s=time.time)
        with metrics_server(figures, health.checks, host=host, port=port) as server:
            stopped = threading.Event()

            def stop(_number: int, _frame: FrameType | None) -> None:
                stopped.set()

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            thread = threading.Thread(target=server.serve_forever, name="metrics")
            thread.start()
            say(f"http://{host}:{server.server_port}/metrics  http://{host}:{server.server_port}/healthz")
            stopped.wait()
            server.shutdown()
            thread.join()
