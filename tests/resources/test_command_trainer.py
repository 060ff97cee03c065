"""A program trains in another process: what it is given, what it may hand back, and what becomes of one that fails."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resources.colmap_folder import write_capture
from resources.command_trainer import CommandTrainer, Log, Program
from resources.programs import BRUSH, GAUSSIAN_SPLATTING, OPENSPLAT
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import BadAnswer, Diverged, OutOfMemory, ToolCrashed, ToolMissing, ToolTimeout
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.domain.rigid import rotation_from_quat
from splat_pipeline.ports.training import TrainingViews

STAND_IN = Path(__file__).with_name("stand_in.py")
PLAN = replace(plan_for(Detail.PREVIEW, seed=7), iterations=100, sh_degree=1)
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 3)).astype(np.float32)
COLORS = RNG.integers(0, 256, size=(200, 3), dtype=np.uint8)


def views(count: int = 3) -> TrainingViews:
    cameras = [
        Camera(width_px=20 + 4 * (i == 2), height_px=16, fx_px=18, fy_px=19, cx_px=10, cy_px=8) for i in range(count)
    ]
    poses = [look_at(np.array([3.0 * i - 3, -1, -4]), np.zeros(3)) for i in range(count)]
    return TrainingViews(
        images=[RNG.integers(0, 256, size=(16, camera.width_px, 3), dtype=np.uint8) for camera in cameras],
        views=[
            View(name=f"a/{i}.jpg", camera=c, cam_from_world=p)
            for i, (c, p) in enumerate(zip(cameras, poses, strict=True))
        ],
        keyframe_ids=list(range(count)),
    )


def playing(mode: str, **changes: object) -> CommandTrainer:
    row = Program(
        name="player",
        licence="none",
        find=lambda: {"program": str(STAND_IN), "python": sys.executable},
        argv=("{python}", "{program}", mode, "{data}", "{output}/a/result.ply", "{sh_degree}"),
        output="*/result.ply",
        progress=r"^Step (?P<iteration>\d+): (?P<loss>[\d.]+)",
    )
    return CommandTrainer(replace(row, **changes))


def train(trainer: CommandTrainer, said: list[str] | None = None, **plan: object):
    return trainer.train(views(), POINTS, COLORS, replace(PLAN, **plan), say=(said if said is not None else []).append)


def test_what_is_given_is_what_we_have_and_what_comes_back_is_what_was_written():
    said: list[str] = []
    result = train(playing("works"), said)
    order = np.argsort(result.gaussians.means[:, 0])
    np.testing.assert_array_equal(result.gaussians.means[order], POINTS[np.argsort(POINTS[:, 0])])
    assert result.gaussians.sh_degree == 1
    assert said[0] == "3 images, 200 points"
    assert [(row["iteration"], row["loss"]) for row in result.history] == [(1, 0.001), (50, 0.05), (100, 0.1)]


def test_the_capture_holds_images_without_loss_cameras_poses_and_points(tmp_path):
    given = views()
    write_capture(tmp_path / "data", given, POINTS, COLORS)
    model = read_model(tmp_path / "data" / "sparse" / "0")
    assert len(model.cameras) == 2, "views of one camera share it"
    for number, (view, image) in enumerate(zip(given.views, model.images.values(), strict=True)):
        np.testing.assert_allclose(rotation_from_quat(image.quat), view.cam_from_world[:3, :3], atol=1e-12)
        np.testing.assert_allclose(image.translation, view.cam_from_world[:3, 3], atol=1e-12)
        camera = model.cameras[image.camera_id]
        assert camera.params == (view.camera.fx_px, view.camera.fy_px, view.camera.cx_px, view.camera.cy_px)
        import cv2

        stored = cv2.imread(str(tmp_path / "data" / "images" / image.name))
        np.testing.assert_array_equal(stored[:, :, ::-1], given.images[number])
    np.testing.assert_array_equal(model.points.xyz, POINTS.astype(np.float64))
    np.testing.assert_array_equal(model.points.rgb, COLORS)


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("crashes", ToolCrashed, "exit code 3"),
        ("no room", OutOfMemory, "CUDA out of memory"),
        ("empty handed", BadAnswer, "ended well and wrote no result.ply"),
        ("cut off", BadAnswer, "something else than Gaussians"),
        ("no ply", BadAnswer, "something else than Gaussians"),
        ("none left", BadAnswer, "wrote 0 Gaussians"),
        ("a link", BadAnswer, "ended well and wrote no result.ply"),
        ("nan", Diverged, "100 of 200 Gaussians of player are not finite"),
    ],
)
def test_a_program_that_fails_or_writes_nonsense_is_told_apart(mode, error, words):
    with pytest.raises(error, match=words):
        train(playing(mode))


def test_the_error_of_a_crash_holds_the_last_two_hundred_lines():
    with pytest.raises(ToolCrashed) as caught:
        train(playing("crashes"))
    lines = caught.value.cause.splitlines()
    assert lines[-1] == "line 499"
    assert lines[-200] == "line 300"
    assert "line 299" not in lines


def test_a_gaussian_in_a_hundred_that_is_not_finite_is_left_out_and_told():
    said: list[str] = []
    assert len(train(playing("a few nan"), said).gaussians) == 199
    assert said[-1] == "1 of 200 Gaussians of player are not finite and left out"


def test_more_harmonics_than_were_asked_for_are_refused_unless_the_program_cannot_do_with_less():
    argv = (*playing("works").program.argv[:-1], "2")
    with pytest.raises(BadAnswer, match="degree 2, asked were 1"):
        train(playing("works", argv=argv))
    assert train(playing("works", argv=argv, least_degree=2)).gaussians.sh_degree == 1


def test_a_program_that_hangs_is_killed_at_the_job_s_limit_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pids"))
    with pytest.raises(ToolTimeout, match="was stopped after"):
        train(playing("hangs"), options={"time_limit_s": 10.0})
    for pid in (tmp_path / "pids").read_text().split():
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_missing_program_says_what_is_missing_and_writes_nothing():
    with pytest.raises(ToolMissing, match="player: it is on the moon"):
        train(playing("works", find=lambda: "it is on the moon"))


def test_lines_are_shown_once_a_second_and_history_is_kept_a_hundred_rows_short():
    now = iter(np.arange(0, 1000, 0.1))
    said: list[str] = []
    log = Log(program=playing("works").program, iterations=1000, say=said.append, clock=lambda: float(next(now)))
    for step in range(1, 1001):
        log(f"Step {step}: {1 / step:.4f}")
    assert 95 <= len(said) <= 101
    assert said[-1].startswith("iteration 99")
    assert 95 <= len(log.history) <= 102
    assert log.history[-1]["iteration"] == 1000


def playing_at(trainer: CommandTrainer, folder: Path, mode: str) -> CommandTrainer:
    """Return ``trainer`` with our stand-in as its program: called with the arguments of the real one."""
    script = folder / "program"
    options = {
        "gaussian-splatting": ("--source_path", "--model_path", "/point_cloud/iteration_100/point_cloud.ply"),
        "opensplat": (None, "--output", ""),
        "brush": (None, "--export-path", "/splat.ply"),
    }
    data, output, behind = options[trainer.name]
    script.write_text(
        f"#!{sys.executable}\nimport sys\nargs = sys.argv[1:]\n"
        "def value(name): return args[args.index(name) + 1]\n"
        f"degree = value('--sh_degree' if {trainer.name == 'gaussian-splatting'} else '--sh-degree')\n"
        f"data = value({data!r}) if {data!r} else args[0]\n"
        f"sys.argv = ['stand_in', {mode!r}, data, value({output!r}) + {behind!r}, degree]\n"
        f"exec(compile(open({str(STAND_IN)!r}).read(), 'stand_in', 'exec'))\n"
    )
    script.chmod(0o700)
    places = {"program": str(script), "python": sys.executable}
    return CommandTrainer(replace(trainer.program, find=lambda: places))


@pytest.mark.parametrize(
    ("trainer", "mode", "degree"), [(GAUSSIAN_SPLATTING, "inria", 0), (OPENSPLAT, "works", 0), (BRUSH, "works", 1)]
)
def test_each_row_calls_a_program_that_answers_and_reads_its_answer(tmp_path, trainer, mode, degree):
    played = playing_at(trainer, tmp_path, mode)
    result = train(played, sh_degree=degree)
    assert len(result.gaussians) == len(POINTS)
    assert result.gaussians.sh_degree == degree
    if mode == "inria":
        assert [row["iteration"] for row in result.history] == [1, 50, 100]
        assert result.history[-1]["loss"] == pytest.approx(0.0000100)


@pytest.mark.parametrize("trainer", [GAUSSIAN_SPLATTING, OPENSPLAT, BRUSH])
def test_each_row_passes_on_what_the_plan_asks_for(trainer):
    places = {"data": "/d", "output": "/o", "program": "/p", "python": "/py"}
    (argv,) = trainer.program.arguments(replace(PLAN, iterations=777, sh_degree=2), places)
    assert not any("{" in text for text in argv)
    assert "777" in argv
    assert "2" in argv
    assert "/d" in argv


def test_the_checkout_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("SPLAT_GAUSSIAN_SPLATTING", raising=False)
    assert "does not name a checkout" in str(GAUSSIAN_SPLATTING.unavailable())
    monkeypatch.setenv("SPLAT_GAUSSIAN_SPLATTING", str(tmp_path))
    assert "there is no" in str(GAUSSIAN_SPLATTING.unavailable())
    (tmp_path / "train.py").touch()
    assert GAUSSIAN_SPLATTING.unavailable() is None
    monkeypatch.setenv("SPLAT_GAUSSIAN_SPLATTING_PYTHON", "/nowhere/python")
    assert "/nowhere/python is no program" in str(GAUSSIAN_SPLATTING.unavailable())


@pytest.mark.parametrize(("trainer", "variable"), [(OPENSPLAT, "SPLAT_OPENSPLAT"), (BRUSH, "SPLAT_BRUSH")])
def test_a_binary_is_found_by_its_variable_or_by_name(tmp_path, monkeypatch, trainer, variable):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    assert f"{trainer.name} is not installed" in str(trainer.unavailable())
    program = tmp_path / "elsewhere"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv(variable, str(program))
    assert trainer.unavailable() is None
    assert os.access(trainer.program.find()["program"], os.X_OK)


@pytest.mark.parametrize(
    ("trainer", "flags"),
    [
        (OPENSPLAT, ["--output", "--num-iters", "--downscale-factor", "--sh-degree", "--keep-crs"]),
        (BRUSH, ["--total-train-iters", "--max-splats", "--sh-degree", "--max-resolution", "--export-path"]),
        (GAUSSIAN_SPLATTING, ["--position_lr_max_steps", "--densify_until_iter", "--disable_viewer"]),
    ],
)
def test_the_real_program_knows_our_arguments(trainer, flags):
    from resources.sandbox import watch_child

    reason = trainer.unavailable()
    if reason is not None:
        pytest.skip(f"the real program is not here: {reason}")
    found = trainer.program.find()
    argv = [found["python"], found["program"]] if "python" in found else [found["program"]]
    told = "\n".join(watch_child([*argv, "--help"], time_limit_s=120).last_lines)
    for flag in flags:
        assert flag in told
