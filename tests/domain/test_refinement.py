import numpy as np
import pycolmap
import pytest

from splat_pipeline.domain.formats.colmap import ColmapCamera, read_model
from splat_pipeline.domain.refinement import Footing, Widening, footing, insane

GOOD = {"images": 40, "observations": 20_000, "angle_deg": 12.0, "spread_deg": 30.0}
NARROW = ColmapCamera(model="SIMPLE_RADIAL", width_px=720, height_px=1280, params=(920.0, 360.0, 640.0, 0.0))


def wide(**changes):
    values = {"focal": 917.0, "cx": 373.0, "cy": 643.0, "k1": 0.05, "k2": -0.08}
    return ColmapCamera(model="RADIAL", width_px=720, height_px=1280, params=tuple((values | changes).values()))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"images": 19}, "19 images"),
        ({"observations": 3000}, "observations"),
        ({"angle_deg": 1.0}, "triangulation angle"),
        ({"angle_deg": float("nan")}, "triangulation angle"),
        ({"spread_deg": 4.0}, "directions of view"),
    ],
)
def test_each_weakness_is_enough_to_leave_the_lens_alone(change, word):
    assert Footing(**GOOD).weakness is None
    assert word in Footing(**GOOD | change).weakness


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cx": 360 + 0.09 * 720}, "principal point"),
        ({"cy": 640 - 0.09 * 1280}, "principal point"),
        ({"k2": 0.6}, "radial"),
        ({"focal": 1100.0}, "change of the focal"),
        ({"k1": float("nan")}, "nan"),
    ],
)
def test_a_lens_that_cannot_be_right_is_named(change, word):
    assert insane(NARROW, wide()) is None
    assert word in insane(NARROW, wide(**change))


def test_a_wider_lens_must_pay_on_the_tracks_set_aside_without_bending_the_path():
    assert Widening(narrow_px=0.63, wide_px=0.59, shift=0.001).refusal is None
    assert "set aside" in Widening(narrow_px=0.63, wide_px=0.625, shift=0.0).refusal
    assert "set aside" in Widening(narrow_px=0.63, wide_px=0.7, shift=0.0).refusal
    assert "set aside" in Widening(narrow_px=float("nan"), wide_px=float("nan"), shift=0.0).refusal
    assert "path" in Widening(narrow_px=0.63, wide_px=0.5, shift=0.2).refusal


def test_what_intrinsics_rest_on_is_counted_by_camera(tmp_path):
    options = pycolmap.SyntheticDatasetOptions(num_rigs=2, num_frames_per_rig=6, num_points3D=90)
    theirs = pycolmap.synthesize_dataset(options)
    theirs.write_binary(tmp_path)
    model = read_model(tmp_path)
    for camera_id in model.cameras:
        found = footing(model, camera_id)
        mine = [image for image in theirs.images.values() if image.camera_id == camera_id]
        axes = np.array([image.cam_from_world().rotation.matrix()[2] for image in mine])
        mean = axes.mean(0) / np.linalg.norm(axes.mean(0))
        assert found.images == len(mine)
        assert found.observations == sum(image.num_points3D for image in mine)
        assert found.spread_deg == pytest.approx(np.degrees(np.sqrt((np.arccos(axes @ mean) ** 2).mean())), rel=1e-6)
        assert 0 < found.angle_deg < 180
    assert footing(model, 99) == Footing(images=0, observations=0, angle_deg=0.0, spread_deg=0.0)
