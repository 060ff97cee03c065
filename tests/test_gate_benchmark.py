"""The benchmark of the gates: its worlds, its damage, its truth, its figures, and a handful of captures."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clouds import some_gaussians

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gates import damage, fit, places, real, report, warps  # noqa: E402
from benchmarks.gates.cases import CAMERA, captures, reference  # noqa: E402
from benchmarks.gates.judged import pose_damages, splat_damages  # noqa: E402
from benchmarks.gates.run import QUICK, tasks  # noqa: E402
from benchmarks.gates.truth import NOTHING, SHIP_DB, Worth, is_finite  # noqa: E402
from benchmarks.gates.world import camera_of, draw, wall  # noqa: E402
from splat_pipeline.domain.evaluation import centers  # noqa: E402
from splat_pipeline.domain.formats.colmap import read_model  # noqa: E402
from splat_pipeline.domain.poses import cam_from_world, rms_px  # noqa: E402
from splat_pipeline.domain.taxonomy import BY_CODE  # noqa: E402

ASKED = {
    "blur", "dark", "noise", "dropped", "cuts", "static", "rotation", "planar", "mirror", "moving", "rolling",
    "exposure", "focal", "false-loop", "loop", "bent", "truncated", "nan", "huge", "floaters", "none",
}  # fmt: skip


def test_there_are_sixty_captures_of_every_kind_each_called_by_known_names() -> None:
    names = [name for name, _ in tasks()]
    assert len(names) == len(set(names)) >= 60
    every = [*captures(), *pose_damages(), *splat_damages()]
    assert {each.kind for each in every} >= ASKED
    assert {code for each in every for code in each.classes} <= set(BY_CODE)
    assert all(each.classes for each in every if each.kind != "none")
    assert set(QUICK) <= set(names)


def test_a_point_of_the_world_is_drawn_where_the_camera_sees_it() -> None:
    camera, pose = camera_of(120, 90), places.standing(1, 0).poses[0]
    black = wall(1, (-4, -4, 3), (8, 0, 0), (0, 8, 0), photo=False)
    black.paper[:] = 0
    spot = np.array([0.3, -0.6, 0.4])
    white = wall(1, spot - [0.05, 0.05, 0], (0.1, 0, 0), (0, 0.1, 0), photo=False)
    white.paper[:] = 255
    picture = draw([black, white], camera, pose).mean(-1)
    seen = pose[:3, :3] @ spot + pose[:3, 3]
    expected = camera.fx_px * seen[0] / seen[2] + camera.cx_px, camera.fy_px * seen[1] / seen[2] + camera.cy_px
    v, u = np.nonzero(picture > 200)
    assert (u.mean() + 0.5, v.mean() + 0.5) == pytest.approx(expected, abs=0.7)
    part = draw([black, white], camera, pose, rows=slice(20, 50))
    np.testing.assert_array_equal(part, draw([black, white], camera, pose)[20:50])


def test_what_a_mirror_shows_is_as_far_behind_it() -> None:
    quad = wall(3, (0, -1, 1), (1, 0, 0), (0, 1, 0), photo=False)
    np.testing.assert_allclose(quad.mirrored(2, 2.4).origin, [0, -1, 3.8])
    np.testing.assert_allclose(quad.mirrored(2, 2.4).mirrored(2, 2.4).origin, quad.origin)


def test_damage_of_pictures_is_what_it_says() -> None:
    clip = [np.full((30, 40, 3), 10 * i, np.uint8) for i in range(12)]
    assert np.mean(damage.dimmed(clip, 0.1)) < 0.2 * np.mean(clip)
    assert [int(each.mean()) // 10 for each in damage.held(clip, 5)] == [0] * 5 + [5] * 5 + [10] * 2
    assert len(damage.cut_off(clip, 6)) == 6
    assert np.std(damage.noisy(clip, 20)[6]) == pytest.approx(20, rel=0.1)
    edge = np.zeros((30, 40, 3), np.uint8)
    edge[:, 20:] = 255
    assert np.abs(np.diff(damage.blurred([edge], 4)[0][15, :, 0].astype(int))).max() < 40
    assert np.abs(np.diff(damage.shaken([edge] * 2, 9)[1][15, :, 0].astype(int))).max() < 60


def test_rows_that_are_read_later_are_seen_from_where_the_camera_is_then() -> None:
    scene = reference()
    way = places.Way(poses=scene.way.poses[:4])
    world = scene.world()
    still = damage.rolled(world, CAMERA, way, frames=0)
    np.testing.assert_array_equal(still[1], draw(world, CAMERA, way.poses[1]))
    rolled = damage.rolled(world, CAMERA, way, frames=1)
    np.testing.assert_array_equal(rolled[1][:8], still[1][:8])
    assert np.abs(rolled[1][-20:].astype(int) - still[1][-20:]).mean() > 2


def test_a_warp_bends_the_way_and_a_small_one_hardly_shows_in_reprojection(capture) -> None:
    model = read_model(capture.model)
    assert rms_px(warps.bent(model, 0.0)) == pytest.approx(rms_px(model))
    assert rms_px(warps.bent(model, 0.05)) < rms_px(model) + 1
    order = sorted(model.images, key=lambda i: model.images[i].name)

    def way(of) -> np.ndarray:
        return centers(np.stack([cam_from_world(of, i) for i in order]))

    closed = way(warps.falsely_closed(model, 1.0))
    np.testing.assert_allclose(closed[-1], closed[0], atol=1e-9)
    steps = [np.linalg.norm(np.diff(way(of), axis=0), axis=1) for of in (model, warps.drifting(model, 2.0))]
    assert steps[1][0] / steps[0][0] == pytest.approx(1.0, abs=0.2)
    assert steps[1][5] / steps[0][5] > 1.2


def test_worth_that_nobody_could_measure_is_not_good() -> None:
    good = {"ate": 0.001, "turn_deg": 0.1, "registered": 1.0, "finite": True}
    assert Worth(novel_db=SHIP_DB, **good).good
    assert not Worth(novel_db=math.nan, **good).good
    assert not Worth(novel_db=30.0, **{**good, "ate": 0.1}).good
    assert not Worth(novel_db=30.0, **{**good, "finite": False}).good
    assert not NOTHING.good


def test_a_number_that_is_none_is_found_among_gaussians() -> None:

    from benchmarks.gates.broken import floating, huge, without_numbers

    sound = some_gaussians(50, 1, 0)
    assert is_finite(sound)
    assert not is_finite(without_numbers(0.01)(sound))
    assert len(floating(7)(sound)) == 57
    assert is_finite(huge(0.1)(sound))


def row(name: str, *, good: bool, shipped: bool, failure: str | None = None, **gates: float) -> dict:
    return {
        "name": name, "kind": name.split("-", maxsplit=1)[0], "classes": ["drift"], "good": good, "shipped": shipped,
        "failure": failure, "raised": False, "stopped_by": "gate x", "warned": [], "gates": gates,
        "detail": "full" if shipped else None,
        "worth": {"novel_db": 22.0, "ate": 0.001}, "full_db": None,
    }  # fmt: skip


def test_figures_are_those_of_the_confusion() -> None:
    rows = [
        row("a-1", good=False, shipped=False, failure="drift"),
        row("a-2", good=False, shipped=False, failure="internal"),
        row("b-1", good=False, shipped=True),
        row("c-1", good=True, shipped=True),
        row("c-2", good=True, shipped=False, failure="drift"),
    ]
    found = report.figures(rows)
    assert (found["recall_bad"], found["false_alarm"], found["class_accuracy"]) == (0.6667, 0.5, 0.5)
    assert found["confusion"] == {"bad_stopped": 2, "bad_shipped": 1, "good_stopped": 1, "good_shipped": 1}
    assert [each["name"] for each in found["missed"]] == ["b-1"]
    assert [each["name"] for each in found["alarms"]] == ["c-2"]
    assert [each["name"] for each in found["miscalled"]] == ["a-2"]
    assert "| b | 1 | 1 | 0 | 0 | 0 |  |" in report.markdown(found)


def test_a_bound_is_fitted_between_good_and_bad_and_held_against_the_other_half() -> None:
    values = {"g": (1.0, 2.0, 1.0, 2.5), "b": (4.0, 5.0, 6.0, 2.2)}
    rows = [
        row(f"{kind}-{i}", good=kind == "g", shipped=True, reprojection_well=value)
        for kind, each in values.items()
        for i, value in enumerate(each)
    ]
    one, other = fit.halves(rows)
    assert [each["name"] for each in one] == ["g-0", "g-2", "b-1", "b-3"]
    bounds = fit.fitted(one)
    assert 1.0 < bounds["reprojection_well"] < 2.2
    assert [fit.caught(each, bounds) for each in other] == [True, True, True, True], "an honest half: false alarms too"
    (proposal,) = fit.proposals(one, other, bounds)
    assert (proposal["gate"], proposal["catches"]) == ("reprojection_well", ["b-1", "b-3"])


def test_a_gate_that_stops_good_captures_is_asked_to_be_wider() -> None:
    rows = [
        row("g-0", good=True, shipped=False, reprojection=5.0),
        row("b-0", good=False, shipped=False, reprojection=9.0),
    ]
    bounds = fit.fitted(rows)
    assert bounds["reprojection"] == pytest.approx(7.0)


def test_the_ladder_is_compared_with_none() -> None:
    lowered = row("a-1", good=True, shipped=True) | {"detail": "reduced", "full_db": 19.0}
    found = report.ladder([lowered, row("b-1", good=True, shipped=True), row("c-1", good=False, shipped=False)])
    assert (found["good_delivered_share"], found["good_delivered_share_without"]) == (1.0, 0.5)
    assert (found["lowered_db"], found["same_at_full_db"], found["compared"]) == (22.0, 19.0, 1)


def test_a_handful_of_captures_is_judged_rightly(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / "gates.py"), "--quick", "--json", str(target)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(target.read_text())
    assert set(found) >= {"recall_bad", "false_alarm", "class_accuracy", "captures", "confusion"}
    rows = {each["name"]: each for each in found["rows"]}
    assert set(rows) == set(QUICK)
    assert rows["none-table-1"]["shipped"]
    assert rows["none-table-1"]["good"]
    assert rows["none-table-1"]["worth"]["ate"] < 0.01
    assert {name: each["failure"] for name, each in rows.items()} == {
        "none-table-1": None, "dark-0.03": "too-dark", "short-6": "too-short", "nan-0.3": "diverged",
    }  # fmt: skip
    assert found["confusion"] == {"bad_stopped": 3, "bad_shipped": 0, "good_stopped": 0, "good_shipped": 1}


def test_real_captures_are_folders_that_say_what_is_expected_and_files_elsewhere(tmp_path: Path) -> None:
    for name, outcome in (("fine", "succeed"), ("still", "reject")):
        folder = tmp_path / "dev" / name
        folder.mkdir(parents=True)
        (folder / "clip.mp4").touch()
        (folder / "expected.json").write_text(json.dumps({"outcome": outcome}))
    (tmp_path / "bad").mkdir()
    for name in ("README.md", "black.mp4", "odd.mkv"):
        (tmp_path / "bad" / name).touch()
    found = {path.name: bool(real.classes_of(path)) for path in real.captures(tmp_path)}
    assert found == {"black.mp4": True, "odd.mkv": False, "fine": False, "still": True}


def test_a_real_file_that_is_none_is_refused_and_rightly_called(tmp_path: Path) -> None:
    (tmp_path / "zero_byte.mp4").touch()
    (row,) = real.judged(tmp_path)
    assert (row["shipped"], row["good"], row["failure"]) == (False, False, "unreadable")
    assert list(real.judged(tmp_path, known=["zero_byte.mp4"])) == []
    told = report.figures([row])
    assert (told["recall_bad"], told["class_accuracy"], told["captures"]) == (1.0, 1.0, 1)
