"""The daily job removes what its rules say and shows what went."""

from __future__ import annotations

import dagster as dg

from sensors.retention import retention_schedule
from splat_pipeline.domain.retention import Decision, Thing


def decision(name: str, *, goes: bool, size: int) -> Decision:
    thing = Thing(kind="uploads", product="standard", job="j", name=name, size_bytes=size, age_s=1.0)
    return Decision(thing=thing, goes=goes, because="older than 30 days")


def test_the_job_sweeps_once_with_its_instance_and_tells_what_went(instance: dg.DagsterInstance):
    asked = []

    def sweep(given: dg.DagsterInstance) -> list[Decision]:
        asked.append(given)
        return [decision("/a", goes=True, size=2_000_000), decision("/b", goes=False, size=5)]

    schedule = retention_schedule(sweep, cron="17 3 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    defs = dg.Definitions(schedules=[schedule])
    result = defs.resolve_job_def("retention").execute_in_process(instance=instance)
    assert result.success
    assert asked == [instance]
    (output,) = [event.step_output_data for event in result.all_events if event.is_successful_output]
    assert output.metadata["freed_bytes"].value == output.metadata["uploads_bytes"].value == 2_000_000
    assert "| /a | 2.0 | older than 30 days |" in output.metadata["gone"].value
    assert "/b" not in output.metadata["gone"].value
