"""nerfstudio draws our Gaussians from our cameras: what it is given, what it makes of it, and how pictures come back.

As in ``test_nerfstudio``: where ``SPLAT_NERFSTUDIO_ENV`` names its environment the real program answers, elsewhere its
recorded answer stands in for it, and the end of the run says which of the two was spoken with.
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
from PIL import Image
from typer.testing import CliRunner

from resources import nerfstudio, nerfstudio_film
from resources.nerfstudio_film import NerfstudioFilm, film_arguments, in_our_world, read_frames, write_scene
from resources.sandbox import watch_child
from splat_pipeline.cli import app
from splat_pipeline.domain.camera_paths import CameraPath, nerfstudio_path
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import BadAnswer, ToolCrashed, ToolMissing
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.rigid import inverse

sys.path.insert(0, str(Path(__file__).parent))
from test_nerfstudio import FLIP, RECORDED, RECORDING, keep, real

CAMERA = Camera(width_px=64, height_px=48, fx_px=60, fy_px=60, cx_px=32, cy_px=24)
BACKGROUND = (1.0, 0.5, 0.0)
BEHIND = np.array([127.5, 63.75, 0])
"""Half of it, under pictures that let half of it through."""


def scene(degree: int = 1) -> Gaussians:
    rng = np.random.default_rng(0)
    return Gaussians(
        means=rng.normal(size=(5, 3)).astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (5, 1)),
        log_scales=rng.normal(size=(5, 3)).astype(np.float32),
        logit_opacities=rng.normal(size=5).astype(np.float32),
        sh=rng.normal(size=(5, (degree + 1) ** 2, 3)).astype(np.float32),
        background=BACKGROUND,
        antialiased=True,
    )


def around(count: int = 3) -> CameraPath:
    eyes = [np.array([3 * np.cos(i), -1, 3 * np.sin(i)]) for i in range(count)]
    views = [View(name=str(i), camera=CAMERA, cam_from_world=look_at(eye, np.zeros(3))) for i, eye in enumerate(eyes)]
    return CameraPath(kind="orbit", because="it was filmed so", target=np.zeros(3), views=tuple(views))


def test_the_camera_path_that_is_delivered_comes_back_into_the_splat_s_world():
    """A known pose: the camera at (3, -1, 0) looks at the origin; up in its picture is -y."""
    path = around()
    told = in_our_world(json.loads(json.dumps(nerfstudio_path(path, fps=30))))
    pose = np.array(told["camera_path"][0]["camera_to_world"]).reshape(4, 4)
    np.testing.assert_allclose(pose[:3, 3], [3, -1, 0], atol=1e-12)
    np.testing.assert_allclose(-pose[:3, 2], np.array([-3, 1, 0]) / np.sqrt(10), atol=1e-12, err_msg="looks along -z")
    assert pose[1, 1] < -0.9, "up in the picture is -y"
    assert "applied_transform" not in told
    assert (told["render_width"], told["render_height"], told["seconds"]) == (64, 48, 0.1)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory, spoken_with) -> tuple[dict[str, object], Path]:
    """Return what nerfstudio had to draw, and the folder of the pictures that it wrote."""
    environment = real("ns-render", "python3")
    if environment is None:
        spoken_with(RECORDING)
        return json.loads((RECORDED / "film.json").read_text()), RECORDED / "film"
    spoken_with(f"nerfstudio {nerfstudio.version_in(environment.parent)} itself, but for the drawing")
    folder = tmp_path_factory.mktemp("film")
    write_scene(folder, scene(), around(), fps=30)
    found = {"python3": str(environment / "python3"), "ns-render": str(environment / "ns-render")}
    script = Path(__file__).with_name("film_nerfstudio.py")
    run, film = nerfstudio_film.run_arguments(found, folder)[1:], film_arguments(found, folder)[1:]
    argv = [found["python3"], str(script), str(folder / "told.json"), *run, "--", *film]
    done = watch_child([*nerfstudio_film._with_ffmpeg(folder), *argv], time_limit_s=300)
    assert done.returncode == 0, done.problem
    text = (folder / "told.json").read_text()
    keep("film.json", text)
    if os.environ.get("SPLAT_RECORD_NERFSTUDIO"):
        (RECORDED / "film").mkdir(exist_ok=True)
        for picture in (folder / "film").iterdir():
            (RECORDED / "film" / picture.name).write_bytes(picture.read_bytes())
    return json.loads(text), folder / "film"


def test_its_renderer_loads_our_gaussians_and_stands_where_our_cameras_do(filmed):
    told, _ = filmed
    ours = nerfstudio_film.parameters_of(scene())
    for name, values in told["model"].items():
        np.testing.assert_allclose(values, ours[name], atol=1e-6, err_msg=name)
    assert (told["degree"], told["mode"], told["behind"]) == (1, "antialiased", [0, 0, 0])
    assert told["step"] >= 3000, "all harmonics are drawn from then on"
    assert len(told["cameras"]) == 3
    for view, camera in zip(around().views, told["cameras"], strict=True):
        np.testing.assert_allclose(camera["pose"], (inverse(view.cam_from_world) @ FLIP)[:3], atol=1e-6)
        assert (camera["fx"], camera["fy"]) == pytest.approx((60, 60), rel=1e-5)


def test_the_pictures_that_it_writes_come_back_in_order_before_our_background(filmed):
    frames = list(read_frames(filmed[1], around(), BACKGROUND))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(frame[-1, -1], BEHIND + np.array([25.5 * number, 0, 0]), atol=1.5)
        np.testing.assert_allclose(frame[0, 0], BEHIND + np.array([25.5 * number, 127.5, 0]), atol=1.5)


def test_ns_render_knows_every_argument_that_we_give(tmp_path, spoken_with):
    environment, name = real("ns-render"), "help-film.txt"
    if environment is None:
        spoken_with(RECORDING)
        told = (RECORDED / name).read_text()
    else:
        spoken_with(f"nerfstudio {nerfstudio.version_in(environment.parent)} itself")
        done = watch_child(
            [str(environment / "ns-render"), "camera-path", "--help"], time_limit_s=300, log=tmp_path / name
        )
        assert done.returncode == 0, done.problem
        told = (tmp_path / name).read_text()
        keep(name, "\n".join(sorted(set(re.findall(r"--[a-zA-Z0-9.-]+", told)))) + "\n")
    argv = film_arguments({"ns-render": "r"}, tmp_path)
    assert argv[1] == "camera-path"
    for argument in argv:
        if argument.startswith("--"):
            assert re.search(rf"{re.escape(argument)}\b", told), f"{argument} is not known"


RUN = """#!{python}
import pathlib, sys
script, gaussians, data, run = map(pathlib.Path, sys.argv[1:])
assert script.is_file() and gaussians.is_file() and (data / "transforms.json").is_file()
run.mkdir(parents=True)
(run / "config.yml").write_text("a run")
"""
RENDER = """#!{python}
import json, pathlib, shutil, sys
from PIL import Image
args = sys.argv[1:]
value = lambda name: args[args.index(name) + 1]
assert pathlib.Path(value("--load-config")).read_text() == "a run" and shutil.which("ffmpeg")
told = json.loads(pathlib.Path(value("--camera-path-filename")).read_text())
out = pathlib.Path(value("--output-path"))
out.mkdir()
{first}
for number, camera in enumerate(told["camera_path"]):
    picture = Image.new("RGB", (2 * told["render_width"], told["render_height"]), (number * 10, 0, 0))
    picture.paste((255, 255, 255), (told["render_width"], 0, 2 * told["render_width"], told["render_height"]))
    picture.save(out / f"{{number:05d}}.png")
"""


def playing(folder: Path, monkeypatch, first: str = "") -> None:
    """Put programs of these names where the environment is looked for."""
    (folder / "bin").mkdir(parents=True)
    for name, text in (("python3", RUN), ("ns-render", RENDER)):
        path = folder / "bin" / name
        path.write_text(text.format(python=sys.executable, first=first))
        path.chmod(0o700)
    monkeypatch.setenv(nerfstudio.VARIABLE, str(folder))


def film(work: Path, count: int = 3) -> list[np.ndarray]:
    return list(NerfstudioFilm().frames(scene(), around(count), fps=30, folder=work, say=print))


def test_a_film_is_one_picture_a_camera_made_where_there_is_room_and_leaves_nothing_behind(tmp_path, monkeypatch):
    playing(tmp_path / "env", monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    work = tmp_path / "work"
    work.mkdir()
    pictures = NerfstudioFilm().frames(scene(), around(3), fps=30, folder=work, say=print)
    first = next(pictures)
    assert len(list(work.glob("film-*/film/*.png"))) == 3
    assert [tuple(frame[0, 0]) for frame in (first, *pictures)] == [(0, 0, 0), (10, 0, 0), (20, 0, 0)]
    assert not list(work.iterdir())


@pytest.mark.parametrize(
    ("first", "error", "words"),
    [
        ("sys.exit('RuntimeError: No CUDA GPUs are available')", ToolCrashed, "No CUDA GPUs"),
        ("told['camera_path'].pop()", BadAnswer, "2 pictures of a path of 3"),
        ("told['render_width'] = 32", BadAnswer, "00000.png is"),
    ],
)
def test_a_film_that_is_not_what_was_asked_for_is_refused(tmp_path, monkeypatch, first, error, words):
    playing(tmp_path / "env", monkeypatch, first)
    with pytest.raises(error, match=words):
        film(tmp_path)


def test_a_picture_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "00000.png").write_bytes(b"not a picture")
    with pytest.raises(BadAnswer, match="nothing that can be read"):
        list(read_frames(tmp_path, around(1), BACKGROUND))
    Image.new("RGB", (128, 48), (255, 0, 0)).save(tmp_path / "00000.png")
    (frame,) = read_frames(tmp_path, around(1), (0.0, 0.0, 1.0))
    assert frame[0, 0, 0] == 255


def test_backends_list_who_can_draw_the_preview(tmp_path, monkeypatch):
    def told() -> dict[str, str | None]:
        rows = json.loads(CliRunner().invoke(app, ["backends", "--json"]).output)
        found = {row["name"]: row["reason"] for row in rows if row["use"] == "preview"}
        assert "gsplat" in found
        return {name: reason for name, reason in found.items() if name != "gsplat"}  # as the machine has it

    monkeypatch.setenv(nerfstudio.VARIABLE, str(tmp_path))
    assert told() == {"own": None, "nerfstudio": f"{nerfstudio.VARIABLE}: there is no program {tmp_path}/bin/python3"}
    playing(tmp_path / "env", monkeypatch)
    assert told() == {"own": None, "nerfstudio": None}


def test_without_the_environment_nothing_is_drawn_in_its_place(tmp_path, monkeypatch):
    monkeypatch.delenv(nerfstudio.VARIABLE, raising=False)
    with pytest.raises(ToolMissing, match="cannot be drawn by nerfstudio: SPLAT_NERFSTUDIO_ENV names neither"):
        film(tmp_path)


def test_colours_without_harmonics_are_not_taken_for_what_nerfstudio_means_by_them():
    """Of degree 0 its colours are logistic; a first degree of zeros means what ours does."""
    plain = nerfstudio_film.parameters_of(replace(scene(0), antialiased=False))
    assert plain["features_rest"].shape == (5, 3, 3)
    assert not plain["features_rest"].any()
    assert not plain["antialiased"]
    np.testing.assert_array_equal(plain["features_dc"], scene(0).sh[:, 0])
