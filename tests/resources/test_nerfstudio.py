"""nerfstudio is given our world and gives back Gaussians in it.

Where ``SPLAT_NERFSTUDIO_ENV`` names its environment the real program answers: arguments, data parser, exporter.
Elsewhere its recorded answers stand in for it (``nerfstudio_1_1_5/``, written by these tests where the environment is
there and ``SPLAT_RECORD_NERFSTUDIO`` is set); the end of the run says which of the two was spoken with.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resources import nerfstudio
from resources.nerfstudio import SPLATFACTO, SPLATFACTO_BIG, SPLATFACTO_MCMC, check_world, in_container, write_dataset
from resources.sandbox import watch_child
from resources.trained_ply import read_trained
from splat_pipeline.domain.errors import BadAnswer, ToolMissing, ToolTimeout
from splat_pipeline.domain.formats.transforms import read_transforms
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.domain.rigid import inverse
from splat_pipeline.ports.training import TrainingViews

sys.path.insert(0, str(Path(__file__).parent))
from test_command_trainer import COLORS, POINTS, views

RECORDED = Path(__file__).with_name("nerfstudio_1_1_5")
RECORDING = "a recording of nerfstudio 1.1.5, not the program"
PLAN = replace(plan_for(Detail.PREVIEW, seed=7), iterations=100, sh_degree=1)
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def given() -> TrainingViews:
    few = views()
    return replace(few, images=[np.full_like(image, 40 * i) for i, image in enumerate(few.images)])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nerfstudio") / "data"
    write_dataset(folder, given(), POINTS, COLORS)
    return folder


def test_the_data_set_has_our_world_and_the_cameras_of_opengl(dataset):
    """A known pose: the camera at (-3, -1, -4) looks at the origin, y of the world down, so up in it is -y."""
    told = json.loads((dataset / "transforms.json").read_text())
    pose = np.array(told["frames"][0]["transform_matrix"])
    np.testing.assert_allclose(pose[:3, 3], [-3, -1, -4], atol=1e-9)
    np.testing.assert_allclose(-pose[:3, 2], np.array([3, 1, 4]) / np.sqrt(26), atol=1e-9, err_msg="looks along -z")
    assert pose[1, 1] < -0.9, "up in the picture is up in the world, -y"
    assert "applied_transform" not in told
    assert told["train_filenames"] == [f"images/0000{i}.png" for i in range(3)]


def test_our_own_reader_of_its_format_finds_the_same_poses_and_lenses(dataset):
    text = (dataset / "transforms.json").read_bytes()
    found = read_transforms(text, file="transforms.json", images=None, size_of=lambda _: (0, 0))
    assert not found.warnings
    for view, frame in zip(given().views, found.frames, strict=True):
        np.testing.assert_allclose(frame.cam_from_world, view.cam_from_world, atol=1e-9)
        lens, camera = found.cameras[frame.camera_id], view.camera
        assert (lens.width_px, lens.height_px) == (camera.width_px, camera.height_px)
        assert lens.params == (camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px)


def real(*programs: str) -> Path | None:
    """Return the folder of the environment's programs, or None, loudly, where it is not there."""
    environment = os.environ.get(nerfstudio.VARIABLE)
    if not environment or environment.startswith(nerfstudio.IMAGE):
        return None
    folder = Path(environment) / "bin"
    assert all((folder / name).is_file() for name in programs), "SPLAT_NERFSTUDIO_ENV is set and not nerfstudio's"
    return folder


def keep(name: str, text: str) -> None:
    if os.environ.get("SPLAT_RECORD_NERFSTUDIO"):
        RECORDED.mkdir(exist_ok=True)
        (RECORDED / name).write_text(text)


@pytest.fixture(scope="module")
def answer(dataset, tmp_path_factory, spoken_with) -> tuple[dict[str, object], Path]:
    """Return what the data parser made of the data set, and the PLY that the exporter wrote."""
    folder = real("ns-train", "ns-export")
    if folder is None:
        spoken_with(RECORDING)
        return json.loads((RECORDED / "parser.json").read_text()), RECORDED / "splat.ply"
    spoken_with(f"nerfstudio {nerfstudio.version_in(folder.parent)} itself")
    work = tmp_path_factory.mktemp("asked")
    script = Path(__file__).with_name("ask_nerfstudio.py")
    argv = [str(folder / "python"), str(script), str(dataset), str(work)]
    done = watch_child(argv, time_limit_s=300)
    assert done.returncode == 0, done.problem
    text = (work / "parser.json").read_text()
    keep("parser.json", text)
    if os.environ.get("SPLAT_RECORD_NERFSTUDIO"):
        (RECORDED / "splat.ply").write_bytes((work / "splat.ply").read_bytes())
    return json.loads(text), work / "splat.ply"


def test_its_data_parser_reads_our_cameras_points_and_leaves_the_world(answer):
    told, _ = answer
    assert told["images"] == [f"0000{i}.png" for i in range(3)], "all are trained on"
    for view, pose, lens in zip(given().views, told["camera_to_worlds"], told["lenses"], strict=True):
        np.testing.assert_allclose(pose, (inverse(view.cam_from_world) @ FLIP)[:3], atol=1e-5)
        camera = view.camera
        want = [camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px, camera.width_px, camera.height_px]
        np.testing.assert_allclose(lens, want, atol=1e-4)
    np.testing.assert_allclose(told["points"], POINTS, atol=1e-5)
    np.testing.assert_allclose(told["colors"], COLORS, atol=1)
    np.testing.assert_allclose(told["transform"], np.eye(3, 4), atol=1e-6)
    assert told["scale"] == 1


def test_its_exporter_s_file_is_read_as_it_was_written(answer):
    _, ply = answer
    rows = np.random.default_rng(5).normal(size=(20, 26)).astype(np.float32)
    found = read_trained(ply, who="nerfstudio", most_degree=1, say=print)
    np.testing.assert_array_equal(found.means, rows[:, :3])
    np.testing.assert_array_equal(found.sh[:, 0], rows[:, 6:9])
    np.testing.assert_array_equal(found.sh[:, 1:].transpose(0, 2, 1).reshape(20, 9), rows[:, 9:18])
    np.testing.assert_array_equal(found.logit_opacities, rows[:, 18])
    np.testing.assert_array_equal(found.log_scales, rows[:, 19:22])
    assert isinstance(found, Gaussians)


@pytest.mark.parametrize("trainer", [SPLATFACTO, SPLATFACTO_BIG], ids=lambda trainer: trainer.name)
def test_the_program_knows_every_argument_that_we_give(trainer, tmp_path, spoken_with):
    folder = real("ns-train", "ns-export")
    train, export = trainer.program.arguments(PLAN, {"train": "t", "export": "e", "data": "/d", "output": "/o"})
    split = train.index("nerfstudio-data")
    asked = {"train": train[1:split], "data": [train[1], *train[split:]], "export": export[1:]}
    for kind, arguments in asked.items():
        name = f"help-{trainer.name}-{kind}.txt"
        if folder is None:
            spoken_with(RECORDING)
            told = (RECORDED / name).read_text()
        else:
            subcommands = {"train": [train[1]], "data": [train[1], "nerfstudio-data"], "export": [export[1]]}[kind]
            program = folder / ("ns-export" if kind == "export" else "ns-train")
            log = tmp_path / name
            done = watch_child([str(program), *subcommands, "--help"], time_limit_s=300, log=log)
            assert done.returncode == 0, done.problem
            told = log.read_text()
            keep(name, "\n".join(sorted(set(re.findall(r"--[a-zA-Z0-9.-]+", told)))) + "\n")
        for argument in arguments:
            if argument.startswith("--"):
                assert re.search(rf"{re.escape(argument)}\b", told), f"{argument} is not known to {kind}"


TRAIN = """#!{python}
import json, pathlib, shutil, sys
args = sys.argv[1:]
value = lambda name: args[args.index(name) + 1]
data = pathlib.Path(value("--data"))
told = json.loads((data / "transforms.json").read_text())
called = {called!r}
run = pathlib.Path(value("--output-dir")) / value("--experiment-name") / called / value("--timestamp")
run.mkdir(parents=True)
(run / "config.yml").write_text("!!python/object:nerfstudio")
shutil.copy(data / told["ply_file_path"], run / "points.ply")
for step in (0, 10, 100):
    print(f"{{step}} ({{step:.2f}}%)           12.345 ms            1 s", flush=True)
moved = {moved}
(run / "dataparser_transforms.json").write_text(json.dumps(moved))
{more}
"""
EXPORT = """#!{python}
import pathlib, sys
import numpy as np
args = sys.argv[1:]
value = lambda name: args[args.index(name) + 1]
assert args[0] == "gaussian-splat"
config = pathlib.Path(value("--load-config"))
assert config.read_text().startswith("!!python")
body = config.with_name("points.ply").read_bytes().partition(b"end_header\\n")[2]
points = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
names += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
rows = np.zeros((len(points), 17), "<f4")
rows[:, :3], rows[:, 13] = points["xyz"], 1
out = pathlib.Path(value("--output-dir"))
out.mkdir(parents=True)
header = f"ply\\nformat binary_little_endian 1.0\\nelement vertex {{len(rows)}}\\n"
header += "".join(f"property float {{name}}\\n" for name in names) + "end_header\\n"
(out / "splat.ply").write_bytes(header.encode() + rows.tobytes())
"""
STILL = {"transform": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], "scale": 1.0}


def playing(folder: Path, monkeypatch, moved: object = STILL, more: str = "", *, called: str = "splatfacto") -> None:
    """Put programs of these names where the environment is looked for."""
    (folder / "bin").mkdir(parents=True)
    for name, text in (("ns-train", TRAIN), ("ns-export", EXPORT)):
        path = folder / "bin" / name
        path.write_text(text.format(python=sys.executable, moved=repr(moved), more=more, called=called))
        path.chmod(0o700)
    monkeypatch.setenv(nerfstudio.VARIABLE, str(folder))


@pytest.mark.parametrize(
    ("trainer", "called"),
    [(SPLATFACTO, "splatfacto"), (SPLATFACTO_MCMC, "splatfacto"), (SPLATFACTO_MCMC, "splatfacto-mcmc")],
    ids=["splatfacto", "mcmc in its folder", "mcmc in its own"],
)
def test_a_training_and_its_export_bring_gaussians_back_where_they_were_seen(tmp_path, monkeypatch, trainer, called):
    playing(tmp_path / "env", monkeypatch, called=called)
    said: list[str] = []
    result = trainer.train(given(), POINTS, COLORS, PLAN, say=said.append)
    np.testing.assert_array_equal(result.gaussians.means, POINTS)
    assert said[0].startswith("iteration 0 of 100")
    assert result.history == [], "it tells no loss"


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        ({**STILL, "scale": 0.3}, "nerfstudio moved the world"),
        ({**STILL, "transform": [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]}, "nerfstudio moved the world"),
        ({"scale": 1.0}, "cannot be read"),
    ],
)
def test_a_world_that_was_moved_is_not_delivered(tmp_path, monkeypatch, moved, words):
    playing(tmp_path / "env", monkeypatch, moved)
    with pytest.raises(BadAnswer, match=words):
        SPLATFACTO.train(given(), POINTS, COLORS, PLAN, say=print)
    with pytest.raises(BadAnswer, match="it is not known where"):
        check_world(tmp_path)


def test_one_time_limit_is_for_training_and_export_together(tmp_path, monkeypatch):
    playing(tmp_path / "env", monkeypatch, more="import time; time.sleep(600)")
    with pytest.raises(ToolTimeout):
        SPLATFACTO.train(given(), POINTS, COLORS, replace(PLAN, options={"time_limit_s": 5}), say=print)


def test_the_environment_is_found_by_its_variable_and_a_method_by_the_version(tmp_path, monkeypatch):
    monkeypatch.delenv(nerfstudio.VARIABLE, raising=False)
    assert "names neither" in str(SPLATFACTO.unavailable())
    monkeypatch.setenv(nerfstudio.VARIABLE, str(tmp_path))
    assert "there is no program" in str(SPLATFACTO.unavailable())
    playing(tmp_path / "env", monkeypatch)
    assert SPLATFACTO.unavailable() is None
    site = tmp_path / "env" / "lib" / "python3.10" / "site-packages"
    (site / "nerfstudio-1.1.5.dist-info").mkdir(parents=True)
    listed = site / "nerfstudio" / "configs" / "method_configs.py"
    listed.parent.mkdir(parents=True)
    listed.write_text('method_configs["splatfacto"] = 1\nmethod_configs["splatfacto-big"] = 2\n')
    assert SPLATFACTO_MCMC.unavailable() == "nerfstudio 1.1.5 has no splatfacto-mcmc: it came after 1.1.5"
    assert SPLATFACTO_BIG.unavailable() is None
    listed.write_text(listed.read_text() + 'method_configs["splatfacto-mcmc"] = 3\n')
    assert SPLATFACTO_MCMC.unavailable() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(nerfstudio.VARIABLE, "docker:splat-nerfstudio")
    assert SPLATFACTO.unavailable() == "docker is not installed"


def test_in_an_image_it_has_our_folder_no_network_and_its_container_is_removed(tmp_path, monkeypatch):
    playing(tmp_path / "env", monkeypatch)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if sys.argv[1] == 'run':\n"
        "    rest = sys.argv[sys.argv.index('an/image') + 1:]\n"
        f"    os.execv({str(tmp_path / 'env' / 'bin')!r} + '/' + rest[0], rest)\n"
    )
    docker.chmod(0o700)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv(nerfstudio.VARIABLE, "docker:an/image")
    result = SPLATFACTO.train(given(), POINTS, COLORS, PLAN, say=print)
    np.testing.assert_array_equal(result.gaussians.means, POINTS)
    train, removed, export, again = (tmp_path / "calls").read_text().splitlines()
    assert "--network none" in train
    assert " an/image ns-train splatfacto " in train
    assert " an/image ns-export gaussian-splat " in export
    assert removed == f"rm --force {train.split('--name ')[1].split()[0]}"
    assert again.startswith("rm --force splat-")
    assert in_container("i", "n", tmp_path)[-1] == "i"


def test_a_missing_environment_is_an_error_not_another_trainer(monkeypatch):
    monkeypatch.delenv(nerfstudio.VARIABLE, raising=False)
    with pytest.raises(ToolMissing, match="SPLAT_NERFSTUDIO_ENV names neither"):
        SPLATFACTO.train(given(), POINTS, COLORS, PLAN, say=print)
