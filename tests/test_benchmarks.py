"""The benchmarks: what they read, and that their figures are there."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import cases  # noqa: E402
import cpu_render  # noqa: E402
import cpu_scaling  # noqa: E402
import cpu_splatting  # noqa: E402
import formats  # noqa: E402
import posed_photos  # noqa: E402

from splat_pipeline.domain.errors import CorruptArtifact, InputError  # noqa: E402
from splat_pipeline.domain.formats.colmap import read_model  # noqa: E402
from splat_pipeline.domain.formats.files import FORMATS  # noqa: E402
from splat_pipeline.domain.formats.transforms import read_transforms  # noqa: E402
from splat_pipeline.domain.orbit import look_at  # noqa: E402

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def tiny():
    return cases.made(64, frames=16)


def write_transforms(folder, case, **changes):
    """Write ``case`` as instant-ngp does: camera to world, OpenGL's axes."""
    (folder / "images").mkdir(parents=True)
    camera, frames = case.views[0].camera, []
    for i, (image, view) in enumerate(zip(case.images, case.views, strict=True)):
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image[..., ::-1])
        world_from_camera = np.linalg.inv(view.cam_from_world) @ FLIP
        frames.append({"file_path": f"./images/{i}.png", "transform_matrix": world_from_camera.tolist()})
    lens = {"w": camera.width_px, "h": camera.height_px, "fl_x": camera.fx_px, "fl_y": camera.fy_px}
    lens |= {"cx": camera.cx_px, "cy": camera.cy_px, "frames": frames[::-1]}
    (folder / "transforms.json").write_text(json.dumps({**lens, **changes}))


def test_transforms_json_gives_back_the_images_and_views_in_order_of_their_names(tiny, tmp_path):
    write_transforms(tmp_path, tiny)
    case = cases.load(tmp_path, poses="auto", longer_side_px=64, cache=None, home=tmp_path, points="none")
    assert len(case.views) == 16
    assert len(case.points) == 0
    for view, image, want, picture in zip(case.views, case.images, tiny.views, tiny.images, strict=True):
        np.testing.assert_allclose(view.cam_from_world, want.cam_from_world, atol=1e-9)
        assert view.camera == want.camera
        np.testing.assert_array_equal(image, picture)


def transformed(folder, longer_side_px):
    return cases.load(folder, poses="transforms", longer_side_px=longer_side_px, cache=None, home=folder, points="none")


def test_a_lens_s_distortion_is_taken_out(tiny, tmp_path):
    write_transforms(tmp_path, tiny, k1=0.1, p1=0.001)
    view = transformed(tmp_path, 32).views[0]
    assert (view.camera.width_px, view.camera.height_px) == (32, 18)
    assert view.camera.fx_px > 1.01 * tiny.views[0].camera.fx_px / 2, "zoomed in to valid pixels"


def test_a_lens_that_is_not_understood_is_refused_and_a_missing_image_left_out(tiny, tmp_path):
    write_transforms(tmp_path / "fisheye", tiny, camera_model="OPENCV_FISHEYE")
    with pytest.raises(InputError, match="OPENCV_FISHEYE"):
        transformed(tmp_path / "fisheye", 64)
    write_transforms(tmp_path / "gap", tiny)
    (tmp_path / "gap" / "images" / "3.png").unlink()
    assert len(transformed(tmp_path / "gap", 64).views) == 15
    shutil.rmtree(tmp_path / "gap" / "images")
    with pytest.raises(InputError, match="none of its 16 frames has an image"):
        transformed(tmp_path / "gap", 64)


@pytest.fixture
def without_points(capture, tmp_path):
    """A transforms.json of the rendered capture with its true poses."""
    from scene import FOCALS

    def write(turn=FLIP):
        frames = []
        for name, camera_id, pose in zip(capture.names, capture.camera_ids, capture.truth, strict=True):
            focal = list(FOCALS.values())[camera_id]
            matrix = (np.linalg.inv(pose) @ turn).tolist()
            frames.append({"file_path": name, "fl_x": focal, "fl_y": focal, "transform_matrix": matrix})
        folder = tmp_path / "case"
        shutil.copytree(capture.images, folder)
        (folder / "transforms.json").write_text(json.dumps({"w": 400, "h": 300, "frames": frames}))
        return folder

    return write


def test_poses_without_points_are_given_points_once(without_points, tmp_path, capsys):
    case, again = (
        cases.load(folder, poses="auto", longer_side_px=200, cache=tmp_path / "kept", home=tmp_path)
        for folder in [without_points()] * 2
    )
    assert len(case.points) == len(case.colors) > 1000
    off = np.abs(case.points[:, [1, 2, 0]] - [1, 2, -2]).min(axis=1)
    assert np.median(off) < 0.01, "from the nearest wall"
    assert case.origin.endswith("points triangulated")
    assert capsys.readouterr().err.count("triangulating them from 14 images") == 1
    np.testing.assert_array_equal(case.points, again.points)
    assert not list(tmp_path.glob("points-*"))


def test_poses_that_contradict_the_images_end_the_benchmark_with_the_cause(without_points):
    folder = without_points(turn=np.eye(4))
    with pytest.raises(SystemExit, match=r"do not agree with the images.*Check the axes"):
        cpu_splatting.main(["--case", str(folder), "--longer-side", "64", "--iterations", "20"])


def test_a_scene_too_small_to_triangulate_begins_without_points(tiny, tmp_path, capsys):
    write_transforms(tmp_path / "case", tiny)
    case = cases.load(tmp_path / "case", poses="auto", longer_side_px=32, cache=None, home=tmp_path)
    assert len(case.points) == 0
    assert "there are no points to begin with" in capsys.readouterr().err


def write_text(folder, model):
    folder.mkdir(parents=True)
    lines = [
        f"{i} {c.model} {c.width_px} {c.height_px} {' '.join(map(repr, c.params))}" for i, c in model.cameras.items()
    ]
    (folder / "cameras.txt").write_text("# cameras\n" + "\n".join(lines) + "\n")
    images = []
    for i, image in model.images.items():
        pose = " ".join(repr(float(v)) for v in (*image.quat, *image.translation))
        images += [f"{i} {pose} {image.camera_id} {image.name}", "" if i % 2 else "1.0 2.0 -1"]
    (folder / "images.txt").write_text("# images\n" + "\n".join(images) + "\n")
    points = zip(model.points.ids, model.points.xyz, model.points.rgb, model.points.error_px, strict=True)
    rows = [f"{i} {' '.join(map(str, (*xyz, *rgb)))} {error} 1 2 3 4" for i, xyz, rgb, error in points]
    (folder / "points3D.txt").write_text("\n".join(rows) + "\n")


def test_colmap_s_text_and_binary_models_say_the_same(capture, tmp_path):
    model = read_model(capture.model)
    for name in ("binary", "text"):
        shutil.copytree(capture.images, tmp_path / name / "images")
    shutil.copytree(capture.model, tmp_path / "binary" / "sparse" / "0")
    write_text(tmp_path / "text" / "sparse" / "0", model)
    both = [
        cases.load(tmp_path / name, poses="auto", longer_side_px=200, cache=None, home=tmp_path)
        for name in ("binary", "text")
    ]
    assert len(both[0].views) == len(model.images)
    np.testing.assert_allclose(both[0].points, both[1].points)
    np.testing.assert_array_equal(both[0].colors, both[1].colors)
    for one, other in zip(both[0].views, both[1].views, strict=True):
        assert (one.name, one.camera) == (other.name, other.camera)
        np.testing.assert_allclose(one.cam_from_world, other.cam_from_world)
    (tmp_path / "text" / "sparse" / "0" / "images.txt").write_text("1 0.5\n")
    with pytest.raises(CorruptArtifact, match="no COLMAP text model"):
        posed_photos.posed_by_colmap(tmp_path / "text")


def test_a_kept_case_is_not_read_anew_and_is_the_same(tiny, tmp_path):
    write_transforms(tmp_path / "case", tiny)
    first, second = (
        cases.load(
            tmp_path / "case", poses="auto", longer_side_px=64, cache=tmp_path / "kept", home=tmp_path, points="none"
        )
        for _ in range(2)
    )
    assert [path.name for path in (tmp_path / "kept").glob("*/*")].count("case.npz") == 1
    np.testing.assert_array_equal(first.images, second.images)
    assert [view.camera for view in first.views] == [view.camera for view in second.views]
    np.testing.assert_array_equal(first.views[3].cam_from_world, second.views[3].cam_from_world)


def test_every_eighth_view_is_held_out(tiny):
    train, held = tiny.split()
    assert held.keyframe_ids == [0, 8]
    assert len(train.views) == 14


def test_the_trainer_s_benchmark_writes_its_figures_and_its_curve(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cases, "made", lambda longer_side_px, made=cases.made: made(longer_side_px, frames=16))
    target = tmp_path / "figures.json"
    cpu_splatting.main(["--longer-side", "96", "--seconds", "2", "--gaussians", "3000", "--json", str(target)])
    figures = json.loads(target.read_text())
    assert figures["psnr_heldout"] > 10
    assert figures["iterations"] > 20
    assert figures["gaussians"] <= 3000
    assert 1.5 < figures["seconds"] < 8
    phases = figures["ms_per_phase"]
    assert sum(phases.values()) == pytest.approx(2 * phases["step"], abs=0.02)
    assert all(phases[name] > 0 for name in ("project", "sort", "tile_lists", "blend", "loss", "blend_backward"))
    curve = figures["curve"]
    assert len(curve) == len(cpu_splatting.SHARES) + 1
    assert curve[-1]["psnr"] == figures["psnr_heldout"]
    assert curve[-1]["psnr"] > curve[0]["psnr"]
    assert "seconds" in capsys.readouterr().out


def test_the_cost_of_blending_follows_what_is_covered(tiny):
    # On any machine: a tenth of the covered pixels must not cost as much as all of them.
    cloud = cpu_scaling.of_count(cpu_scaling.scene(cpu_scaling.load_textures()), 3000)
    rows = cpu_scaling.covered(replace(cloud, log_scales=cloud.log_scales + 1), (160, 96), (1.0, 0.1))
    assert rows[0]["tiles_x_gaussians"] == rows[1]["tiles_x_gaussians"]
    assert rows[0]["covered_px"] > 10 * rows[1]["covered_px"]
    assert rows[0]["blending_ms"] > 2 * rows[1]["blending_ms"]


def test_a_fit_finds_the_costs_that_rows_were_made_of():
    sizes = ((1000, 90_000), (600, 20_000), (500, 5_000))
    rows = [{"pairs": p, "covered_px": c, "blending_ms": 600e-6 * p + 5e-6 * c} for p, c in sizes]
    fit = cpu_scaling.fitted(rows)
    assert fit["ns_a_pair"] == pytest.approx(600)
    assert fit["ns_a_covered_px"] == pytest.approx(5)
    assert fit["worst_error"] == 0


def test_more_gaussians_than_the_scene_has_are_made_beside_the_others(tiny):
    few = cpu_scaling.of_count(cpu_scaling.scene(cpu_scaling.load_textures()), 100)
    many = cpu_scaling.of_count(few, 1000)
    assert len(many) == 1000
    assert len(np.unique(many.means, axis=0)) == 1000
    assert many.log_scales.mean() < few.log_scales.mean()


def test_the_renderer_s_benchmark_times_every_case(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu_render, "CASES", [(1000, 64, 48)])
    target = tmp_path / "figures.json"
    cpu_render.main(["--frames", "2", "--json", str(target)])
    (case,) = json.loads(target.read_text())["cases"]
    assert case["gaussians"] == 1000
    assert case["frames_per_s"] > 0


def test_looking_through_opengl_s_axes_is_looking_the_other_way():
    pose = look_at(np.array([0.0, 0, -3]), np.zeros(3))
    frame = {"file_path": "a.png", "transform_matrix": (np.linalg.inv(pose) @ FLIP).tolist()}
    data = {"w": 4, "h": 2, "fl_x": 3.0, "frames": [frame]}
    given = read_transforms(json.dumps(data).encode(), file="transforms.json", images=["a.png"], size_of=None)
    (found,) = given.frames
    np.testing.assert_allclose(found.cam_from_world @ [0, 0, 0, 1], [0, 0, 3, 1])


def test_the_benchmark_of_formats_tells_time_size_and_error_of_each(tmp_path: Path) -> None:
    formats.main(["--gaussians", "300", "--json", str(tmp_path / "figures.json")])
    told = json.loads((tmp_path / "figures.json").read_text())
    assert told["gaussians"] == 300
    assert set(told["formats"]) == set(FORMATS)
    for row in told["formats"].values():
        assert {"write_s", "read_s", "bytes", "max_error"} <= set(row)
        assert row["bytes"] > 300
        assert 0 <= row["max_error"] < 0.1
