"""A program in another process gives poses: what it may answer, and what becomes of one that lies, hangs or crashes."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from resources.external_poses import CommandPoses
from resources.pose_sources import InstalledSources
from splat_pipeline.cli import app
from splat_pipeline.domain.errors import BadAnswer, ToolCrashed, ToolMissing, ToolTimeout
from splat_pipeline.domain.rigid import rigid
from splat_pipeline.ports.sources import PoseRequest

COUNT = 5
NAMES = [f"0000-a/{i:05d}.jpg" for i in range(COUNT)]

PROGRAM = """
import json, os, subprocess, sys, time
mode, request = sys.argv[1], json.load(open(sys.argv[-1]))
truth = json.load(open(sys.argv[2]))
frames = [
    {"name": image["name"], "world_from_camera": pose, "confidence": 0.25}
    | {"intrinsics": {"fx": 90 + i, "fy": 90, "cx": 60, "cy": 40}}
    for i, (image, pose) in enumerate(zip(request["images"], truth))
]
print("posing", len(frames), "images", flush=True)
assert all(os.path.isabs(image["path"]) and image["width_px"] == 120 for image in request["images"])
answer = {"version": 1, "frames": frames}
exec(mode)
json.dump(answer, open(request["answer"], "w"))
"""


def truth():
    rng = np.random.default_rng(0)
    return np.stack([rigid(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3)) for _ in range(COUNT)])


@pytest.fixture
def ask(tmp_path):
    """Give a function that runs a program which does ``mode`` before it answers."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "truth.json").write_text(json.dumps(np.linalg.inv(truth()).tolist()))

    def call(mode="pass", *, time_limit_s=30.0):
        argv = [sys.executable, str(tmp_path / "program.py"), mode, str(tmp_path / "truth.json")]
        said: list[str] = []
        request = PoseRequest(
            folder=tmp_path,
            images=NAMES,
            camera_ids=[0, 0, 0, 1, 1],
            sizes=[(120, 80)] * COUNT,
            times_s=[0.1 * i for i in range(COUNT)],
            uploaded=None,
            time_limit_s=time_limit_s,
            seed=3,
        )
        return CommandPoses(name="mapper", argv=argv).poses(request, say=said.append), said

    return call


def test_poses_confidence_and_the_median_lens_of_each_camera_come_back(ask):
    given, said = ask()
    assert said == ["posing 5 images"]
    assert given.source == "mapper"
    assert [frame.name for frame in given.frames] == NAMES
    np.testing.assert_allclose([frame.cam_from_world for frame in given.frames], truth(), atol=1e-9)
    assert {frame.confidence for frame in given.frames} == {0.25}
    assert {camera_id: camera.params for camera_id, camera in given.cameras.items()} == {
        0: (91.0, 90.0, 60.0, 40.0),
        1: (93.5, 90.0, 60.0, 40.0),
    }


def test_a_camera_without_intrinsics_has_none(ask):
    given, _ = ask("for row in frames[3:]: del row['intrinsics'], row['confidence']")
    assert set(given.cameras) == {0}
    assert [frame.confidence for frame in given.frames] == [0.25, 0.25, 0.25, None, None]


@pytest.mark.parametrize(
    ("mode", "because"),
    [
        ("answer = []", "keys and values"),
        ("answer = {'version': 2, 'frames': []}", "not of version 1"),
        ("answer = {'version': 1, 'frames': {}}", "not of version 1"),
        ("frames[1] = 7", "frame 1 is called None"),
        ("frames[1]['name'] = '../../etc/passwd'", "was not asked for"),
        ("frames[1], frames[2] = frames[2], frames[1]", "not in the order"),
        ("frames[2] = frames[1]", "not in the order"),
        ("del frames[1:]", "poses of 1 of 5 images, at least 3"),
        ("frames[3]['world_from_camera'][0][0] += 0.5", "00003.jpg is no rotation"),
        ("frames[3]['world_from_camera'][2] = [-v for v in frames[3]['world_from_camera'][2]]", "determinant -1"),
        ("frames[3]['world_from_camera'][0][3] = float('nan')", "NaN is no finite number"),
        ("frames[3]['world_from_camera'][0][3] = float('inf')", "Infinity is no finite number"),
        ("frames[3]['world_from_camera'] = None", "00003.jpg is no matrix|not 3x4"),
        ("frames[0]['confidence'] = 1.5", "not 0 to 1"),
        ("frames[0]['confidence'] = 'high'", "not a number"),
        ("frames[0]['intrinsics'] = [90, 90]", "are no object"),
        ("frames[0]['intrinsics'] = {'fx': 90}", "fy is None"),
        ("for row in frames: row['intrinsics']['fx'] = -1", "cannot be right"),
        ("open(request['answer'], 'w').write('{\"version\"'); sys.exit(0)", "not JSON"),
        ("sys.exit(0)", "ended without an answer"),
        ("os.symlink('/etc/passwd', request['answer']); sys.exit(0)", "ended without an answer"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused_with_its_fault(ask, mode, because):
    with pytest.raises(BadAnswer, match=because) as caught:
        ask(mode)
    assert "mapper" in caught.value.cause


def test_a_program_that_hangs_is_killed_with_its_children(ask, tmp_path):
    note = tmp_path / "child.pid"
    mode = (
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    started = time.monotonic()
    with pytest.raises(ToolTimeout, match="posing 5 images"):
        ask(mode, time_limit_s=5)
    assert time.monotonic() - started < 20
    pid = int(note.read_text())
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_crashes_shows_its_last_lines(ask):
    with pytest.raises(ToolCrashed, match="out of gas"):
        ask("raise RuntimeError('out of gas')")
    with pytest.raises(ToolCrashed, match="signal 6"):
        ask("os.abort()")


PLUGIN = """
from resources.external_poses import CommandPoses
GOOD = CommandPoses(name="good", argv=["/bin/sh"])
ABSENT = CommandPoses(name="absent", argv=["/nowhere/python"])
OTHER = CommandPoses(name="other name", argv=["/bin/sh"])
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed distribution with backends."""
    (tmp_path / "site" / "poses_plugin-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "poses_plugin.py").write_text(PLUGIN)
    about = tmp_path / "site" / "poses_plugin-1.0.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: poses_plugin\nVersion: 1.0\n")
    names = {"good": "GOOD", "absent": "ABSENT", "misnamed": "OTHER", "broken": "NOTHING", "colmap": "GOOD"}
    lines = "\n".join(f"{name} = poses_plugin:{value}" for name, value in names.items())
    (about / "entry_points.txt").write_text(f"[splat_pipeline.pose_backends]\n{lines}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.usefixtures("plugin")
def test_backends_are_found_by_entry_point_and_a_broken_one_says_why():
    known = InstalledSources()
    assert sorted(known.names()) == ["absent", "broken", "colmap", "good", "misnamed", "nerfstudio"]
    assert isinstance(known.named("good"), CommandPoses)
    assert known.named("colmap").name == "colmap"
    assert not isinstance(known.named("colmap"), CommandPoses), "those of uploads are not replaced"
    assert known.named("absent").unavailable() == "the program /nowhere/python is not installed"
    assert "AttributeError" in str(known.named("broken").unavailable())
    assert "calls itself 'other name'" in str(known.named("misnamed").unavailable())
    with pytest.raises(ToolMissing, match="/nowhere/python"):
        known.named("absent").poses(None, say=print)
    with pytest.raises(ToolMissing, match=r"'nobody', known are nerfstudio, colmap, .*good"):
        known.named("nobody")
    told = CliRunner().invoke(app, ["backends"]).output.splitlines()
    others = ("trainer", "draws the preview")
    assert sum(not any(words in line for words in others) for line in told) == 8
    assert any(line.startswith("good") and line.endswith("external: available") for line in told)
    assert any(line.startswith("absent") and "not available: the program" in line for line in told)
    listed = json.loads(CliRunner().invoke(app, ["backends", "--json"]).output)
    rows = {row["name"]: row for row in listed if row.pop("use") == "poses"}
    assert list(rows)[:2] == ["sfm", "precalibrated"]
    assert rows["good"] == {"name": "good", "kind": "external", "available": True, "reason": None}
    assert not rows["absent"]["available"]
    assert rows["absent"]["reason"] == "the program /nowhere/python is not installed"
