"""The home of an installation is made once, however many ask for it at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import dagster as dg

from splat_pipeline.launch import make_home
from splat_pipeline.settings import Settings

AT_ONCE = 4


def test_of_several_that_start_at_once_on_a_fresh_home_each_finds_a_whole_database(tmp_path: Path):
    settings, barrier = Settings(home=str(tmp_path)), Barrier(AT_ONCE)

    def start(_: int) -> int:
        barrier.wait()
        with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
            return instance.get_runs_count()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(start, range(AT_ONCE))) == [0] * AT_ONCE
    with dg.DagsterInstance.from_config(str(make_home(settings))) as instance:
        instance.add_dynamic_partitions("jobs", ["a"])
        assert instance.get_dynamic_partitions("jobs") == ["a"]
