"""Failed runs and warnings are told once each, in order, and again until somebody took them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from receiver import Receiver, receiving

from resources.webhooks import Webhook
from sensors.alerts import alerts_sensor
from splat_pipeline.assets.failures import classified
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.domain.backoff import Backoff
from splat_pipeline.domain.errors import TooDark

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


class Watch:
    """The sensor, its cursor, and what is amiss."""

    def __init__(self, instance: dg.DagsterInstance, url: str) -> None:
        self.instance, self.cursor, self.amiss = instance, None, {}
        webhook = Webhook(url=url, secret=b"0123456789abcdef", backoff=Backoff(first_s=0.01, budget_s=0.02))
        self.sensor = alerts_sensor(webhook, warnings=lambda _: self.amiss, job_name="j")

    def tick(self) -> str:
        result: Any = self.sensor(dg.build_sensor_context(instance=self.instance, cursor=self.cursor))
        self.cursor = result.cursor
        return str(result.skip_reason.skip_message)


def fail(instance: dg.DagsterInstance, key: str, *, tags: dict[str, str] | None = None, fails: bool = True) -> str:
    @dg.asset(partitions_def=jobs)
    @classified
    def only() -> None:
        if fails:
            raise TooDark("median luma 2", file="a.mp4")

    instance.add_dynamic_partitions(str(jobs.name), [key])
    job = dg.Definitions(assets=[only], jobs=[dg.define_asset_job("j", selection=[only])]).resolve_job_def("j")
    run = job.execute_in_process(
        instance=instance, partition_key=key, raise_on_error=False, tags=tags, run_config=QUIET
    )
    return run.run_id


def test_a_failed_run_is_told_once_with_class_cause_and_remedy(instance: dg.DagsterInstance, receiver: Receiver):
    watch = Watch(instance, receiver.url)
    fail(instance, "before-00000000")
    assert watch.tick() == "0 messages sent", "what was there before is history"
    run_id = fail(instance, "garden-00000000", tags={"splat/title": "Garden"})
    fail(instance, "good-00000000", fails=False)
    fail(instance, "again-00000000", tags={"dagster/will_retry": "true"})
    assert watch.tick() == "1 messages sent"
    assert watch.tick() == "0 messages sent"
    [(headers, body)] = receiver.taken
    assert headers["Splat-Event"] == "run_failed"
    told = {
        "job": "garden-00000000", "title": "Garden", "run_id": run_id, "class": "TooDark", "file": "a.mp4",
        "cause": "median luma 2", "remedy": TooDark.remedy,
    }  # fmt: skip
    assert told.items() <= json.loads(body).items()


def test_what_nobody_takes_is_sent_again_in_order(instance: dg.DagsterInstance, receiver: Receiver):
    watch = Watch(instance, receiver.url)
    watch.tick()
    first, second = fail(instance, "a-00000000"), fail(instance, "b-00000000")
    receiver.answers = [(500, {})] * 1000
    assert "It is sent again." in watch.tick()
    assert "last answer: 500" in watch.tick()
    receiver.answers.clear()
    receiver.taken.clear()
    assert watch.tick() == "2 messages sent"
    assert [json.loads(body)["run_id"] for _, body in receiver.taken] == [first, second]


def test_a_warning_is_told_when_it_begins_and_when_it_ends(instance: dg.DagsterInstance, receiver: Receiver):
    watch = Watch(instance, receiver.url)
    watch.amiss = {"disk_low": "1 GB is missing"}
    for _ in range(3):
        watch.tick()
    watch.amiss = {"disk_low": "2 GB are missing", "budget_held:gold": "used up"}
    watch.tick()
    watch.amiss = {}
    watch.tick()
    told = [headers["Splat-Event"] for headers, _ in receiver.taken]
    assert told == ["disk_low", "budget_held:gold", "budget_held:gold_over", "disk_low_over"]
