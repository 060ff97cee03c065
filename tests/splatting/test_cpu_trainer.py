from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
from test_train import PLAN, world

from resources.cpu_trainer import CpuTrainer
from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import OutOfMemory
from splat_pipeline.domain.recipe import TrainingOptions
from splat_pipeline.ports.training import SplatTrainer, TrainingViews
from splat_pipeline.splatting import train as training
from splat_pipeline.splatting.background import FIXED, Background
from splat_pipeline.splatting.exposure import KINDS
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.strategies import STRATEGIES
from splat_pipeline.splatting.studio import Studio

__all__ = ["world"]


@pytest.fixture
def views(world):
    return TrainingViews(images=world[0], views=world[1], keyframe_ids=range(8))


def test_the_trainer_fulfils_the_port_and_its_history_is_the_training_table(world, views):
    trainer: SplatTrainer = CpuTrainer()
    said = []
    _, _, points, colors = world
    result = trainer.train(views, points.astype("f4"), colors, replace(PLAN, iterations=80), say=said.append)
    assert trainer.name == "cpu"
    assert "iteration 80 of 80" in said[-1]
    rows = [{"rung": "preview", **row} for row in result.history]
    assert tables.to_table(tables.TRAINING, rows).num_rows == 80
    scores = trainer.evaluate(result.gaussians, views)
    assert len(scores) == 8
    corrected = trainer.evaluate_corrected(result.gaussians, views)
    assert all(more > psnr - 0.01 for more, (psnr, _) in zip(corrected, scores, strict=True))
    assert all(psnr > 10 and 0 < ssim <= 1 for psnr, ssim in scores)


def test_what_a_job_may_ask_is_what_the_trainer_has(world, views):
    recipe = TrainRecipe()
    assert set(CpuTrainer().options) <= set(TrainingOptions.model_fields)
    assert all(hasattr(recipe, name) for name in CpuTrainer().options)
    for name, known in (("strategy", STRATEGIES), ("exposure", KINDS)):
        assert get_args(get_args(TrainingOptions.model_fields[name].annotation)[0]) == tuple(known)
    for name in [*FIXED, "random", "learned", "#0aF010"]:
        assert Background.of(TrainingOptions(background=name).background, seed=0).name == name
    plan = replace(PLAN, iterations=40, options={"background": "#ff0000", "antialias": True})
    _, _, points, colors = world
    trained = CpuTrainer().train(views, points.astype("f4"), colors, plan, say=lambda _: None).gaussians
    assert (trained.background, trained.antialiased) == ((1, 0, 0), True)


def test_missing_memory_is_said_in_the_project_s_words(world, views, monkeypatch):
    def starve(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(training, "train", starve)
    with pytest.raises(OutOfMemory, match="8 images of 64 px and 400 Gaussians"):
        CpuTrainer().train(views, np.zeros((0, 3), "f4"), np.zeros((0, 3), "u1"), PLAN, say=print)


def test_a_training_that_runs_out_of_memory_goes_on_at_a_lower_plan(world, views, tmp_path, monkeypatch):
    _, _, points, colors = world
    often = partial(training.Checkpoints, every_iterations=10, most_share=np.inf)
    monkeypatch.setattr(training, "Checkpoints", often)
    step, said = Studio.step, []

    def starve(studio, *args):
        if studio.people.count > 200 and studio.moves == 100:
            raise MemoryError
        return step(studio, *args)

    monkeypatch.setattr(Studio, "step", starve)
    trainer = CpuTrainer()
    with pytest.raises(OutOfMemory):
        trainer.train(views, points.astype("f4"), colors, PLAN, say=said.append, ongoing=tmp_path)
    lower = replace(PLAN, iterations=100, max_gaussians=180)
    said.clear()
    trained = trainer.train(
        views, points.astype("f4"), colors, lower, say=said.append, ongoing=tmp_path, take_over=True
    )
    assert said[0] == "going on with 180 Gaussians of a training that had done 67% of its course"
    assert len(trained.gaussians) <= 180
    assert [row["iteration"] for row in trained.history] == list(range(68, 101))


def test_the_footprint_is_told_in_the_domain_s_terms():
    assert CpuTrainer().footprint(3).gaussian > CpuTrainer().footprint(0).gaussian > 0
