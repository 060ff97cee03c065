"""Runners: what they refuse, how they chain windows, and that their answer is one that the contract takes.

No weights are here: a stand-in under the package's name gives poses of its own, so that what is tried is the runner.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.backend_answer import read_answer, request_text
from splat_pipeline.domain.evaluation import trajectory_error
from splat_pipeline.domain.rigid import inverse, rigid

RUNNERS = Path(__file__).resolve().parents[1] / "runners"
COUNT = 50
NAMES = [f"0000-a/{i:05d}.jpg" for i in range(COUNT)]
SIZE = (640, 360)

STAND_IN = '''
import json, os
from types import SimpleNamespace
import numpy as np

class DepthAnything3:
    """Says what the truth is, from the first image of the call on, at a scale of its own for each call."""

    calls = 0

    @classmethod
    def from_pretrained(cls, folder):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        return cls()

    def to(self, device):
        assert device == "cpu"
        return self

    def eval(self):
        return self

    def inference(self, paths, process_res, process_res_method):
        truth = np.array(json.load(open(os.environ["TRUTH"])))
        type(self).calls += 1
        chosen = truth[[int(path[-9:-4]) for path in paths]] @ np.linalg.inv(truth[int(paths[0][-9:-4])])
        chosen[:, :3, 3] *= self.calls
        count = len(paths)
        return SimpleNamespace(
            extrinsics=chosen[:, :3].astype(np.float32),
            intrinsics=np.tile(np.array([[400.0, 0, 252], [0, 400, 140], [0, 0, 1]]), (count, 1, 1)),
            processed_images=np.zeros((count, 280, 504, 3), np.uint8),
            depth=np.full((count, 4, 4), 2.0 * self.calls),
        )
'''


def truth():
    turns = np.linspace(0, 200, COUNT)
    rotations = Rotation.from_euler("yx", np.stack([turns, 10 * np.sin(turns / 20)], 1), degrees=True).as_matrix()
    centers = np.stack([3 * np.cos(turns / 57), 0.01 * turns, 3 * np.sin(turns / 57)], 1)
    return np.stack([rigid(r, -r @ c) for r, c in zip(rotations, centers, strict=True)])


@pytest.fixture
def run(tmp_path):
    """Give a function that runs a runner on a request of 50 images."""
    (tmp_path / "site" / "depth_anything_3").mkdir(parents=True)
    (tmp_path / "site" / "depth_anything_3" / "api.py").write_text(STAND_IN)
    (tmp_path / "truth.json").write_text(json.dumps(truth().tolist()))
    (tmp_path / "DA3").mkdir()
    (tmp_path / "DA3" / "config.json").write_text(json.dumps({"model_name": "da3-base"}))
    (tmp_path / "DA3" / "model.safetensors").write_bytes(b"")
    text = request_text(
        [(name, str(tmp_path / name)) for name in NAMES],
        sizes=[SIZE] * COUNT,
        camera_ids=[0] * COUNT,
        times_s=[0.1 * i for i in range(COUNT)],
        answer=str(tmp_path / "answer.json"),
        seed=0,
    )
    (tmp_path / "request.json").write_text(text)

    def call(name, *options, site=True):
        environment = {**os.environ, "TRUTH": str(tmp_path / "truth.json")}
        environment["PYTHONPATH"] = str(tmp_path / "site") if site else ""
        argv = [sys.executable, str(RUNNERS / name), *options, str(tmp_path / "request.json")]
        return subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return SimpleNamespace(call=call, folder=tmp_path)


def da3(run, *options, **how):
    return run.call("da3_poses.py", "--checkpoint", str(run.folder / "DA3"), *options, **how)


@pytest.mark.parametrize(("window", "lines"), [(["--window", "20", "--overlap", "5"], 3), ([], 1)])
def test_windows_of_other_worlds_and_scales_become_one_answer_that_the_contract_takes(run, window, lines):
    done = da3(run, "--accept-licence", "Apache-2.0", "--device", "cpu", *window)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "posed 50 of 50 images"
    assert len(done.stdout.splitlines()) == lines
    text = (run.folder / "answer.json").read_bytes()
    given = read_answer(text, backend="da3", names=NAMES, sizes=[SIZE] * COUNT, camera_ids=[0] * COUNT)
    found = np.stack([frame.cam_from_world for frame in given.frames])
    error = trajectory_error(found, truth())
    assert error.ate_rmse < 1e-5 * error.extent
    assert error.rotation_deg.max() < 1e-3
    assert {frame.confidence for frame in given.frames} == {None}
    assert given.cameras[0].params == pytest.approx((400 * 640 / 504, 400 * 360 / 280, 320, 180))


@pytest.mark.parametrize(
    ("runner", "options", "because"),
    [
        ("da3_poses.py", [], "these weights are under Apache-2.0: read it, then say --accept-licence Apache-2.0"),
        ("da3_poses.py", ["--accept-licence", "MIT"], "these weights are under Apache-2.0"),
        ("wint3r_poses.py", ["--code", "."], "these weights are under non-commercial"),
        ("wint3r_poses.py", ["--code", ".", "--accept-licence", "Apache-2.0"], "under non-commercial"),
        ("wint3r_poses.py", ["--code", ".", "--accept-licence", "non-commercial"], "no checkout of WinT3R"),
        (
            "da3_poses.py",
            ["--window", "30", "--overlap", "30"],
            "--overlap 30 must be at least 1 and less than --window",
        ),
    ],
)
def test_what_was_not_accepted_or_is_not_there_is_refused_in_one_line(run, runner, options, because):
    done = run.call(runner, "--checkpoint", str(run.folder / "DA3"), *options)
    assert done.returncode == 2
    assert done.stderr.startswith("refused: ")
    assert because in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (run.folder / "answer.json").exists()


def test_larger_models_are_under_another_licence(run):
    (run.folder / "DA3" / "config.json").write_text(json.dumps({"model_name": "da3-giant"}))
    done = da3(run, "--accept-licence", "Apache-2.0")
    assert (done.returncode, "under CC-BY-NC-4.0" in done.stderr) == (2, True)


def test_a_checkpoint_that_is_not_there_and_a_package_that_is_not_installed_are_named(run):
    assert "depth_anything_3 cannot be imported here" in da3(run, "--accept-licence", "Apache-2.0", site=False).stderr
    (run.folder / "DA3" / "model.safetensors").unlink()
    done = da3(run, "--accept-licence", "Apache-2.0")
    assert (done.returncode, "model.safetensors is not there" in done.stderr) == (2, True)
    (run.folder / "dust3r").mkdir()
    (run.folder / "dust3r" / "wint3r.py").write_text("")
    options = ["--code", ".", "--accept-licence", "non-commercial", "--checkpoint", "absent.bin"]
    assert "absent.bin is not there" in run.call("wint3r_poses.py", *options).stderr
    (run.folder / "absent.bin").write_bytes(b"")
    assert "WinT3R cannot be imported here" in run.call("wint3r_poses.py", *options).stderr


@pytest.fixture
def contract(monkeypatch):
    monkeypatch.syspath_prepend(RUNNERS)
    import contract as module

    yield module
    sys.modules.pop("contract")


@pytest.mark.parametrize("count", [1, 20, 21, 50, 59, 1000])
def test_windows_cover_all_images_and_overlap(contract, count):
    spans = contract.windows(count, 20, 5)
    assert (spans[0][0], spans[-1][1]) == (0, count)
    assert all(0 < stop - first <= 20 for first, stop in spans)
    assert all(before[1] - after[0] >= 5 for before, after in pairwise(spans))


def test_a_pose_that_is_not_finite_is_left_out_and_windows_are_chained_by_the_others(contract):
    worlds = [inverse(pose) for pose in truth()]
    spans = contract.windows(COUNT, 30, 10)

    def part(first, stop, broken):
        poses = np.stack(worlds[first:stop])
        poses[list(broken)] = np.nan
        nothing = [None] * (stop - first)
        depth = np.ones(stop - first)
        return contract.Part(world_from_camera=poses, depth=depth, confidence=nothing, intrinsics=nothing)

    found = contract.chained([part(*spans[0], [25]), part(*spans[1], [0, 29])], spans)
    np.testing.assert_allclose(
        np.delete(found.world_from_camera, [25, 49], 0), np.delete(worlds, [25, 49], 0), atol=1e-9
    )
    with pytest.raises(contract.Refused, match="no poses of the 10 images"):
        contract.chained([part(*spans[0], range(20, 30)), part(*spans[1], [])], spans)
    assert np.isnan(found.world_from_camera[25]).all()
