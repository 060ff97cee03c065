"""Which trainer a job gets: the one that it asked for or none; by itself the best that is really there."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from resources import gsplat_trainer, trainers
from resources.cpu_trainer import CpuTrainer
from resources.machine import has_nvidia_gpu
from resources.trainers import GROUP, OURS, InstalledTrainers
from splat_pipeline.assets import traces
from splat_pipeline.cli import app
from splat_pipeline.definitions import build
from splat_pipeline.domain.errors import ToolMissing
from splat_pipeline.domain.memory import Pictures, fitted
from splat_pipeline.domain.plans import GPU_LADDER, Detail, plan_for
from splat_pipeline.domain.recipe import TrainingOptions
from splat_pipeline.settings import Settings
from splat_pipeline.splatting.recipe import TrainRecipe

PLUGIN = """
from resources.cpu_trainer import CpuTrainer
class Named(CpuTrainer):
    def __init__(self, name, reason=None):
        self.name, self.reason = name, reason
    def unavailable(self):
        return self.reason
GOOD, ABSENT, OTHER = Named("good"), Named("absent", "no GPU of its kind"), Named("other name")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed distribution with trainers."""
    about = tmp_path / "trainers_plugin-1.0.dist-info"
    about.mkdir()
    (tmp_path / "trainers_plugin.py").write_text(PLUGIN)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: trainers_plugin\nVersion: 1.0\n")
    names = {"good": "GOOD", "absent": "ABSENT", "misnamed": "OTHER", "broken": "NOTHING", "cpu": "GOOD"}
    lines = "\n".join(f"{name} = trainers_plugin:{value}" for name, value in names.items())
    (about / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n")
    monkeypatch.syspath_prepend(tmp_path)


def standing_in(**where: str) -> InstalledTrainers:
    """Our trainers, with others in the place of some."""
    return InstalledTrainers(
        [EntryPoint(name=point.name, value=where.get(point.name, point.value), group=GROUP) for point in OURS]
    )


@pytest.mark.usefixtures("plugin")
def test_trainers_are_found_by_entry_point_and_a_broken_one_says_why():
    known = InstalledTrainers()
    assert set(known.names()) == {point.name for point in OURS} | {"good", "absent", "misnamed", "broken"}
    assert known.named("good").name == "good"
    assert isinstance(known.named("cpu"), CpuTrainer)
    assert known.named("cpu").name == "cpu", "ours are not replaced"
    for name, reason in {
        "absent": "no GPU of its kind",
        "broken": "AttributeError",
        "misnamed": "calls itself 'other name'",
        "nobody": "no such trainer, known are cpu",
    }.items():
        with pytest.raises(ToolMissing, match=reason) as caught:
            known.named(name)
        assert "splat backends" in caught.value.remedy
        with pytest.raises(ToolMissing, match=reason):
            known.chosen(name)


@pytest.mark.usefixtures("plugin")
def test_by_itself_the_gpu_is_taken_where_it_can_be_used_and_else_the_cpu_is_with_the_reason(monkeypatch):
    there = EntryPoint(name="gsplat", value="trainers_plugin:GPU", group=GROUP)
    import trainers_plugin

    monkeypatch.setattr(trainers_plugin, "GPU", trainers_plugin.Named("gsplat"), raising=False)
    known = InstalledTrainers([*(point for point in OURS if point.name != "gsplat"), there])
    assert known.chosen("auto")[0].name == "gsplat"
    points = [*(point for point in OURS if point.name != "gsplat"), there]
    assert traces._told(InstalledTrainers(points)) == "InstalledTrainers gsplat"
    trainers_plugin.GPU.reason = "no CUDA device"
    trainer, why = known.chosen("auto")
    assert (trainer.name, why) == ("cpu", "gsplat cannot be used: no CUDA device")
    assert traces._told(InstalledTrainers(points)) == "InstalledTrainers cpu", "a plan that rests on it is made anew"
    assert known.chosen("cpu")[1] == "asked for"
    with pytest.raises(ToolMissing, match="no CUDA device"):
        known.chosen("gsplat")


@pytest.mark.usefixtures("plugin")
def test_backends_lists_who_can_train_with_reason_and_licence():
    rows = json.loads(CliRunner().invoke(app, ["backends", "--json"]).output)
    training = {row["name"]: row for row in rows if row["use"] == "training"}
    assert set(InstalledTrainers().names()) == set(training)
    assert training["cpu"] == {
        "use": "training",
        "name": "cpu",
        "kind": "trainer, on the cpu",
        "available": True,
        "reason": None,
        "licence": "Apache-2.0",
    }
    assert training["absent"]["reason"] == "no GPU of its kind"
    assert not training["broken"]["available"]
    told = CliRunner().invoke(app, ["backends"]).output
    assert "not available: no GPU of its kind" in told
    assert "trainer, on the cpu: available (licence: Apache-2.0)" in told


def test_every_trainer_of_ours_can_be_listed_and_heeds_known_options_only():
    for row in trainers.listed():
        trainer, reason = InstalledTrainers().found(str(row["name"]))
        assert trainer is not None, reason
        assert row["available"] == (row["reason"] is None)
        assert set(trainer.options) <= set(TrainingOptions.model_fields)
        assert trainer.licence


def test_the_options_of_the_cpu_trainer_are_those_of_its_recipe():
    assert set(CpuTrainer().options) == set(TrainingOptions.model_fields) & set(TrainRecipe.__dataclass_fields__)


def pool_of(**settings: str) -> str | None:
    graph = build(Settings(**settings)).resolve_asset_graph()
    definition = graph.assets_def_for_key(dg.AssetKey("splat"))
    return definition.op.pool


def test_trainings_take_the_pool_of_the_gpu_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr("splat_pipeline.upkeep.has_nvidia_gpu", lambda: True)
    assert pool_of(home=str(tmp_path)) == "gpu"
    assert pool_of(home=str(tmp_path), training_pool="train_cpu") == "train_cpu"
    monkeypatch.setattr("splat_pipeline.upkeep.has_nvidia_gpu", lambda: False)
    assert pool_of(home=str(tmp_path)) == "train_cpu"


def test_a_gpu_is_seen_by_its_device_file(tmp_path):
    assert not has_nvidia_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert not has_nvidia_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_nvidia_gpu(tmp_path)


def test_without_its_packages_or_a_compiler_gsplat_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(gsplat_trainer, "find_spec", lambda name: None)
    assert gsplat_trainer.TRAINER.unavailable() == (
        "the package torch is not installed: pip install 'splat_pipeline[gsplat]'"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert not gsplat_trainer.has_nvcc() or Path("/usr/local/cuda/bin/nvcc").exists()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch()
    assert gsplat_trainer.has_nvcc()


def test_a_usual_gpu_has_room_for_its_full_plan_and_a_small_one_gets_a_smaller_plan():
    plan = plan_for(Detail.FULL, seed=0, ladder=GPU_LADDER, trainer="gsplat")
    pictures, footprint = Pictures(count=200, width_px=1600, height_px=1200), gsplat_trainer.TRAINER.footprint(3)
    assert fitted(plan, pictures, footprint, 24_000_000_000, ladder=GPU_LADDER) == plan
    small = fitted(plan, pictures, footprint, 4_000_000_000, kind="GPU memory", ladder=GPU_LADDER)
    assert small.max_gaussians < plan.max_gaussians or small.longer_side_px < plan.longer_side_px
    assert small.reasons[0].startswith("GPU memory: ")
