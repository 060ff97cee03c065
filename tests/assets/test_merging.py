"""Models of one capture that came apart become one. Features are synthetic, what is done with them is COLMAP's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from circuit import Circuit
from sfm import Walk

from splat_pipeline.assets.footage import Footage
from splat_pipeline.assets.merging import merged
from splat_pipeline.assets.rescue import request_for
from splat_pipeline.domain.errors import ToolTimeout
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.recipe import PoseRecipe, Recipe
from splat_pipeline.domain.windows import Window

RECIPE = PoseRecipe(exhaustive_up_to=0, overlap=5, mapper="incremental")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Models of three stretches that touch or overlap, and of one that is far away."""
    made = Walk(Circuit(frames=100), tmp_path_factory.mktemp("apart") / "walk", recipe=RECIPE)
    for first, stop in ((0, 20), (12, 34), (20, 34), (50, 62)):
        made.reconstruct(Window(window_id=0, first=first, stop=stop), "incremental")
    return made


@pytest.fixture
def work(tmp_path):
    return SimpleNamespace(recipe=Recipe(poses=RECIPE), log=print, input=lambda _: tmp_path)  # no calibration there


def model(walk, first, stop):
    return walk.folder / f"incremental-{first}-{stop}"


def footage(walk):
    frames = walk.keyframes.assign(
        file=[f"images/{name}" for name in walk.names], camera_id=0, link=False, pts_s=np.arange(len(walk.names)) / 3
    )
    return Footage(frames=frames, images=walk.folder / "images", features=walk.folder / "features", graph=walk.graph)


@pytest.mark.parametrize("second", [(12, 34), (20, 34)], ids=["shared images", "verified matches only"])
def test_models_that_share_something_become_one_true_model(walk, work, second, tmp_path):
    parts = [model(walk, 0, 20), model(walk, *second), model(walk, 50, 62)]
    found = merged(work, walk.backend, footage(walk), parts, 600.0, tmp_path / "whole")
    assert (found.outcome, found.registered, found.models) == ("model", 34, 1), "the third shares nothing"
    whole = read_model(tmp_path / "whole")
    by_name = {image.name: cam_from_world(whole, i) for i, image in whole.images.items()}
    error = trajectory_error(np.stack([by_name[name] for name in walk.names[:34]]), walk.circuit.truth()[:34])
    assert error.ate_rmse < 0.01 * error.extent
    assert found.rms_px < 1.5


def test_what_adds_nothing_is_not_adjusted(walk, work, tmp_path):
    for parts in (
        [model(walk, 0, 20)],
        [model(walk, 12, 34), model(walk, 20, 34)],
        [model(walk, 0, 20), model(walk, 50, 62)],
    ):
        assert merged(work, None, footage(walk), parts, 600.0, tmp_path / "whole") is None


def test_an_adjustment_that_fails_is_an_attempt(walk, work, tmp_path):
    class Slow:
        def adjust(self, request, folder, *, say):
            assert request.recipe.time_limit_s == 5.0
            raise ToolTimeout("it took too long")

    parts = [model(walk, 0, 20), model(walk, 12, 34)]
    found = merged(work, Slow(), footage(walk), parts, 5.0, tmp_path / "whole")
    assert (found.outcome, found.registered) == ("crashed", 0)


def test_models_beside_the_largest_are_kept_when_asked_for(walk, work, tmp_path):
    whole = footage(walk)
    apart = replace(whole, frames=whole.frames.iloc[[*range(10), *range(55, 70)]])
    fake = SimpleNamespace(recipe=work.recipe, input=work.input)
    request = replace(request_for(fake, apart, "incremental", left_s=600.0), parts=tmp_path / "0-parts")
    attempt = walk.backend.reconstruct(request, tmp_path / "0", say=print)
    assert (attempt.registered, attempt.models) == (15, 2)
    (part,) = (tmp_path / "0-parts").iterdir()
    assert len(read_model(part).images) == 10
