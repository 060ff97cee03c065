"""The example of a plugin is installed as anybody would install it, found, and does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from resources.pose_sources import InstalledSources
from resources.trainers import InstalledTrainers
from splat_pipeline.cli import app
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.gaussians import SH_C0
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.ports.sources import PoseRequest
from splat_pipeline.ports.training import TrainingViews

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "splat_example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into a folder, without the network; built from a copy, so that nothing is left in the tree."""
    import shutil

    copy = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("copy") / "splat_example")
    target = tmp_path_factory.mktemp("site")
    install = ["install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *install, str(copy)], check=True, timeout=300)
    return target


def test_both_are_listed_once_the_package_is_installed(site, monkeypatch):
    before = json.loads(CliRunner().invoke(app, ["backends", "--json"]).output)
    assert not {"points", "turntable"} & {row["name"] for row in before}
    monkeypatch.syspath_prepend(site)
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["backends", "--json"]).output)}
    assert rows["points"]["available"]
    assert rows["points"]["kind"] == "trainer, on the cpu"
    assert rows["turntable"]["available"]


def test_the_trainer_puts_a_gaussian_on_each_point(site, monkeypatch):
    monkeypatch.syspath_prepend(site)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)).astype(np.float32)
    colors = rng.integers(0, 256, size=(50, 3), dtype=np.uint8)
    camera = Camera(width_px=12, height_px=10, fx_px=10, fy_px=10, cx_px=6, cy_px=5)
    view = View(name="a.jpg", camera=camera, cam_from_world=look_at(np.array([0.0, -1, -4]), np.zeros(3)))
    views = TrainingViews(images=[np.zeros((10, 12, 3), np.uint8)], views=[view], keyframe_ids=[0])
    plan = replace(plan_for(Detail.PREVIEW, seed=0), iterations=50, sh_degree=2)
    result = InstalledTrainers().named("points").train(views, points, colors, plan, say=lambda _: None)
    np.testing.assert_array_equal(result.gaussians.means, points)
    np.testing.assert_allclose(0.5 + SH_C0 * result.gaussians.sh[:, 0], colors / 255, atol=1e-5)
    assert result.gaussians.sh_degree == 2
    assert result.history[0]["loss"] == 1.0
    assert [row["iteration"] for row in result.history] == list(range(0, 50, 5))


def test_the_pose_backend_puts_cameras_on_a_circle_that_look_at_its_middle(site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(site)
    names = [f"0000-a/{i:05d}.jpg" for i in range(8)]
    request = PoseRequest(
        folder=tmp_path,
        images=names,
        camera_ids=[0] * 8,
        sizes=[(120, 80)] * 8,
        times_s=[0.1 * i for i in range(8)],
        uploaded=None,
        time_limit_s=60,
        seed=0,
    )
    given = InstalledSources().named("turntable").poses(request, say=lambda _: None)
    assert [frame.name for frame in given.frames] == names
    for frame in given.frames:
        np.testing.assert_allclose(frame.cam_from_world @ [0, 0, 0, 1], [0, 0, 3, 1], atol=1e-9)
    assert given.cameras[0].params == (132.0, 132.0, 60.0, 40.0)
