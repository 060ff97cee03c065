"""A measured length is found in the reconstruction, or it is said why not."""

import numpy as np
import pandas as pd
import pytest

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.known_length import Footage, footage_of, known_length, spots_of
from splat_pipeline.domain.recipe import Recipe, ScaleRecipe

CLIP = Footage(video_id="a", name="left/a.mp4", duration_s=9.0, images=())
OTHER = Footage(video_id="b", name="right/a.mp4", duration_s=None, images=())
PHOTOS = Footage(video_id="images", name=".", duration_s=None, images=("p1.jpg", "p2.jpg", "p@3.jpg"))
CAMERAS = pd.DataFrame({"video_id": ["a"] * 4 + ["images"] * 2, "pts_s": [0.0, 1.0, 2.0, 6.0, 0.0, 2.0]})
CENTERS = np.array([[0.0, 0, 0], [1, 0, 0], [1, 2, 0], [5, 2, 0], [0, 0, 3], [0, 4, 3]])


def spots(*between, footage=(CLIP, PHOTOS)):
    return spots_of(ScaleRecipe(metres=2.0, between=between), footage, file="job.yaml")


def length(*between, metres=10.0, footage=(CLIP, PHOTOS)):
    return known_length(metres, spots(*between, footage=footage) if between else None, CAMERAS, CENTERS)


def test_two_moments_of_a_clip_are_found_between_keyframes():
    found = length("a.mp4@0.5", "left/a.mp4@2")
    assert found.units == pytest.approx(np.hypot(0.5, 2))
    assert found.metres_per_unit == pytest.approx(10 / np.hypot(0.5, 2))
    assert found.because == "from a.mp4@0.5 to left/a.mp4@2"


def test_two_photos_are_found_by_name_even_with_an_at_sign():
    assert length("p1.jpg", "p@3.jpg").units == pytest.approx(4)


def test_the_whole_path_is_summed_within_each_clip():
    shuffled = CAMERAS.sample(frac=1, random_state=1)
    assert length().units == pytest.approx(1 + 2 + 4 + 4)
    assert known_length(10.0, None, shuffled, CENTERS[shuffled.index]).units == pytest.approx(11)


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (("a.mp4@0", "a.mp4@4"), "no camera is known at a.mp4@4"),
        (("a.mp4@8", "a.mp4@1"), "no camera is known at a.mp4@8"),
        (("p1.jpg", "p2.jpg"), "no camera is known at p2.jpg"),
        (("a.mp4@0", "a.mp4@0.1"), "too short"),
    ],
)
def test_what_was_not_found_is_told(between, why):
    found = length(*between)
    assert found.metres_per_unit is None
    assert why in found.because


@pytest.mark.parametrize(
    ("between", "footage", "why"),
    [
        (
            ("a.mp4@0", "c.mp4@1"),
            (CLIP, PHOTOS),
            "'c.mp4@1' is no photo and no CLIP@SECONDS of the upload (such as left/a",
        ),
        (("a.mp4@0", "a.mp4"), (CLIP, PHOTOS), "'a.mp4' is no photo"),
        (("a.mp4@0", "a.mp4@one"), (CLIP,), "must end in seconds from 0 on, the clip has 9.0"),
        (("a.mp4@0", "a.mp4@9.5"), (CLIP,), "must end in seconds"),
        (("a.mp4@0", "a.mp4@-1"), (CLIP,), "must end in seconds"),
        (("a.mp4@0", "a.mp4@nan"), (CLIP,), "must end in seconds"),
        (("right/a.mp4@inf", "right/a.mp4@1"), (CLIP, OTHER), "must end in seconds from 0 on (got"),
        (("a.mp4@0", "a.mp4@1"), (CLIP, OTHER), "stands for several clips"),
        (("a.mp4@1", "left/a.mp4@1.0"), (CLIP,), "names one camera twice"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_by_name(between, footage, why):
    with pytest.raises(BadJobFile) as caught:
        spots(*between, footage=footage)
    assert why.removesuffix(" (got") in caught.value.cause
    assert caught.value.cause.startswith("job.yaml: scale.between")


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"metres": 0}, "scale.metres"),
        ({"metres": -2}, "scale.metres"),
        ({"metres": float("nan")}, "scale.metres"),
        ({"metres": "long"}, "scale.metres"),
        ({"between": ["a@1", "a@2"]}, "scale"),
        ({"metres": 2, "between": ["a@1"]}, "scale.between"),
        ({"metres": 2, "between": ["a@1", "a@1"]}, "scale"),
        ({"meters": 2}, "scale.meters"),
    ],
)
def test_a_wrong_scale_in_a_job_file_names_its_key(asked, key):
    with pytest.raises(BadJobFile) as caught:
        Recipe().overridden({"scale": asked}, source="job.yaml")
    assert caught.value.cause.startswith(f"job.yaml: {key}")


def test_a_right_scale_survives_its_manifest():
    asked = Recipe().overridden({"scale": {"metres": 2, "between": ["a@1", "a@2"], "gps": False}}, source="job.yaml")
    assert Recipe.model_validate_json(asked.model_dump_json()) == asked
    assert asked.scale.between == ("a@1", "a@2")


def test_footage_is_what_can_be_used():
    nothing = {"duration_s": None}
    rows = pd.DataFrame(
        [
            {"video_id": "a", "name": "a.mp4", "usable": True, "duration_s": 3.0},
            {"video_id": "b", "name": "b.mp4", "usable": False, **nothing},
            {"video_id": "c", "name": "c", "usable": True, **nothing},
        ]
    )
    assert footage_of(rows, {"c": ["1.jpg"]}) == [
        Footage(video_id="a", name="a.mp4", duration_s=3.0, images=()),
        Footage(video_id="c", name="c", duration_s=None, images=("1.jpg",)),
    ]
