"""What a training is said to take of the memory is what it takes, in a process of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from splat_pipeline.domain.memory import Pictures, estimate
from splat_pipeline.splatting.densify import Population
from splat_pipeline.splatting.footprint import footprint, held
from splat_pipeline.splatting.studio import Easel

CODE = """
import json, sys
from pathlib import Path
import numpy as np
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.plans import Detail, TrainingPlan

def told(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

count, width, height, cap, iterations = map(int, sys.argv[1:])
before = told("VmRSS:")
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.train import train
rng = np.random.default_rng(0)
camera = Camera(width_px=width, height_px=height, fx_px=width, fy_px=width, cx_px=width / 2, cy_px=height / 2)
views, images = [], []
paper = rng.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8).repeat(8, 0).repeat(8, 1)
for i in range(count):
    pose = np.eye(4)
    pose[0, 3] = 0.02 * i
    views.append(View(name=str(i), camera=camera, cam_from_world=pose))
    images.append(np.roll(paper[:height, :width], 3 * i, 1).copy())
points = rng.uniform([-1.2, -0.7, 2], [1.2, 0.7, 3], (5000, 3))
colors = rng.integers(0, 255, (5000, 3), np.uint8)
plan = TrainingPlan(
    detail=Detail.FULL, longer_side_px=width, iterations=iterations, max_gaussians=cap, sh_degree=3, seed=0
)
trained = train(images, views, points, colors, plan, recipe=TrainRecipe(trained_ratio=99))
print(json.dumps([told("VmHWM:") - before, len(trained.gaussians)]))
"""


def measured(count, width_px, height_px, gaussians, iterations):
    """Return by how many bytes a process grew that trained, and how many Gaussians it had in the end."""
    words = [str(word) for word in (count, width_px, height_px, gaussians, iterations)]
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def compiled():
    """The compiler takes memory of its own, once in the life of an installation."""
    measured(8, 64, 64, 500, 60)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's accounting is read from /proc")
@pytest.mark.parametrize(
    ("count", "width_px", "height_px", "gaussians", "iterations"),
    [(8, 160, 96, 3000, 60), (40, 480, 270, 12_000, 100), (12, 320, 180, 40_000, 500)],
    ids=["small", "images", "gaussians"],
)
@pytest.mark.usefixtures("compiled")
def test_the_estimate_is_within_a_quarter_of_the_peak(count, width_px, height_px, gaussians, iterations):
    taken, trained = measured(count, width_px, height_px, gaussians, iterations)
    assert trained > 0.9 * min(gaussians, 40_000)
    said = estimate(Pictures(count=count, width_px=width_px, height_px=height_px), gaussians, footprint(3))
    assert 0.75 < said / taken < 1.25


def test_the_figures_are_those_of_the_arrays():
    of = footprint(1)
    easel = Easel.of(64, 48, deep=True, recolored=True)
    arrays = (easel.truth, easel.gradient, easel.canvas.image)
    assert held([easel]) >= sum(a.nbytes for a in arrays)
    assert of.pixel == pytest.approx(held([Easel.of(512, 512, deep=True, recolored=True)]) / 512**2, rel=0.01)
    assert footprint(3).gaussian > of.gaussian
    assert held([np.zeros(5), "text", None, 3]) == 40
    assert {"rows", "first", "second"} <= set(Population.__dataclass_fields__)
