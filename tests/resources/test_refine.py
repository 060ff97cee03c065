"""The last bundle adjustment, held against synthetic lenses that are known."""

import pycolmap
import pytest

from resources import colmap
from resources.colmap import ColmapBackend
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.poses import rms_px

WIDE = [900.0, 412.0, 290.0, 0.05, -0.06]
"""RADIAL; principal point 12 and 10 px off the centre of 800x600."""
NARROW = [900.0, 400.0, 300.0, 0.04]


def filmed(folder, model, params, *, images=24, points=700, noise=0.5):
    """Write what a mapper makes of a lens: its observations, and a SIMPLE_RADIAL camera fitted to them."""
    options = pycolmap.SyntheticDatasetOptions(
        num_rigs=1, num_frames_per_rig=images, num_points3D=points, camera_width=800, camera_height=600,
        camera_model_id=getattr(pycolmap.CameraModelId, model), camera_params=params,
    )  # fmt: skip
    pycolmap.set_random_seed(3)
    theirs = pycolmap.synthesize_dataset(options)
    pycolmap.synthesize_noise(pycolmap.SyntheticNoiseOptions(point2D_stddev=noise), theirs)
    camera = theirs.camera(1)
    camera.model = pycolmap.CameraModelId.SIMPLE_RADIAL
    camera.params = [params[0], 400.0, 300.0, 0.03]
    adjusting = pycolmap.BundleAdjustmentOptions()
    adjusting.print_summary = False
    adjusting.ceres.solver_options.num_threads = 1
    pycolmap.bundle_adjustment(theirs, adjusting)
    folder.mkdir()
    theirs.write_binary(folder)
    return folder


def refined(tmp_path, *args, **options):
    before = filmed(tmp_path / "before", *args, **options)
    found = ColmapBackend(threads=1).refine(before, tmp_path / "after", time_limit_s=60, say=print)
    return before, found, tmp_path / "after"


def test_a_lens_off_centre_is_found(tmp_path):
    before, found, after = refined(tmp_path, "RADIAL", WIDE)
    assert list(found.cameras) == [1]
    assert found.wide_px < 0.97 * found.narrow_px
    camera = read_model(after).cameras[1]
    assert camera.model == "RADIAL"
    assert camera.params[:3] == pytest.approx(WIDE[:3], abs=4.0)
    assert camera.params[3] == pytest.approx(WIDE[3], abs=0.02)
    assert rms_px(read_model(after)) < 0.97 * rms_px(read_model(before))
    assert "RADIAL" in found.words


def test_a_plain_lens_is_left_alone(tmp_path):
    _, found, after = refined(tmp_path, "SIMPLE_RADIAL", NARROW)
    assert (list(found.cameras), after.exists()) == ([], False)
    assert "set aside" in found.why
    assert found.why in found.words


def test_few_images_are_not_asked(tmp_path):
    _, found, after = refined(tmp_path, "RADIAL", WIDE, images=8)
    assert (list(found.cameras), after.exists()) == ([], False)
    assert "8 images, 20 are needed" in found.why


def test_a_lens_that_cannot_be_right_is_not_kept(tmp_path):
    _, found, after = refined(tmp_path, "RADIAL", [900.0, 490.0, 300.0, 0.0, 0.0])
    assert (list(found.cameras), after.exists()) == ([], False)
    assert "principal point" in found.why


def test_a_child_that_dies_leaves_the_model(tmp_path, monkeypatch):
    stand_in = tmp_path / "path" / "stand_in_refiner.py"
    stand_in.parent.mkdir()
    stand_in.write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(stand_in.parent))
    monkeypatch.setattr(colmap, "WORKER", "stand_in_refiner")
    _, found, after = refined(tmp_path, "SIMPLE_RADIAL", NARROW, images=5, points=60)
    assert (list(found.cameras), found.why, after.exists()) == ([], "ToolCrashed", False)
