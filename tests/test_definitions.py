"""The graph is what the architecture draws, and what the README says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from resources.logs import json_lines
from splat_pipeline.definitions import JOB, build
from splat_pipeline.domain.errors import BadWebhook
from splat_pipeline.domain.quality import LIMITS
from splat_pipeline.settings import Settings

OVERVIEW = dg.AssetKey("failure_overview")
"""Of all jobs, and so of none."""
GOLDEN = Path(__file__).with_name("golden_graph.json")


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build(Settings(home=tmp_path_factory.mktemp("home")))


def graph_of(defs: dg.Definitions) -> dict[str, object]:
    graph = defs.resolve_asset_graph()
    return {
        key.to_user_string(): {
            "after": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "checks": sorted(check.name for check in graph.get(key).check_keys),
        }
        for level in graph.toposorted_asset_keys_by_level
        for key in sorted(level)
    }


def test_the_asset_graph_is_the_golden_one(defs: dg.Definitions):
    if os.environ.get("SPLAT_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(graph_of(defs), indent=1) + "\n")
    assert graph_of(defs) == json.loads(GOLDEN.read_text())


def test_every_asset_is_partitioned_by_job_in_one_group_with_a_description(defs: dg.Definitions):
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if key != OVERVIEW:
            assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition), key
            assert node.partitions_def.name == "jobs"
        assert node.group_name == "splat"
        assert node.description, key


def test_every_gate_is_a_check_and_only_errors_block(defs: dg.Definitions):
    graph = defs.resolve_asset_graph()
    found = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert found == {(limit.stage, gate) for gate, limit in LIMITS.items()}
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).blocking == (LIMITS[key.name].severity == "ERROR")


def test_all_jobs_are_looked_at_once_a_day(defs: dg.Definitions):
    schedule = next(each for each in defs.schedules or [] if each.name == "overview_daily")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    job = defs.resolve_job_def(schedule.job_name)
    assert job.asset_layer.executable_asset_keys == {OVERVIEW}


def test_the_job_holds_every_asset_and_the_sensors_watch_it(defs: dg.Definitions):
    job = defs.resolve_job_def(JOB)
    assert job.asset_layer.executable_asset_keys == set(defs.resolve_asset_graph().get_all_asset_keys()) - {OVERVIEW}
    assert {sensor.name for sensor in defs.sensors or []} == {"uploads", "outcomes", "finals", "second_chances"}
    assert all(s.default_status is dg.DefaultSensorStatus.RUNNING for s in defs.sensors or [])


def test_what_is_heavy_waits_for_a_slot_of_its_kind(defs: dg.Definitions):
    graph = defs.resolve_asset_graph()
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.get_all_asset_keys()}
    assert {name for name, pool in pools.items() if pool == {"decode"}} == {
        "source_videos",
        "frame_quality",
        "keyframes",
        "linking_frames",
    }
    assert {name for name, pool in pools.items() if pool == {"sfm"}} == {
        "features",
        "match_graph",
        "local_reconstructions",
        "camera_poses",
    }
    assert pools["splat"] == {"train_cpu"}


def test_what_has_had_its_time_goes_once_a_day(defs: dg.Definitions):
    schedule = next(each for each in defs.schedules or [] if each.name == "retention")
    assert schedule.cron_schedule == "17 3 * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_alerts_are_told_where_there_is_a_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings = Settings(home=str(tmp_path), webhook="https://example.org/a")
    with pytest.raises(BadWebhook, match="SPLAT_WEBHOOK_SECRET is not set"):
        build(settings)
    monkeypatch.setenv("SPLAT_WEBHOOK_SECRET", "0123456789abcdef")
    assert "alerts" in {sensor.name for sensor in build(settings).sensors or []}


def test_the_job_takes_the_logger_that_the_uploads_sensor_asks_for(defs: dg.Definitions):
    asked = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
    resolved = dg.validate_run_config(defs.resolve_job_def(JOB), asked)
    assert resolved["loggers"]["console"]["config"]["log_level"] == "WARNING"
    assert defs.resolve_job_def(JOB).loggers["console"].description == json_lines.description
