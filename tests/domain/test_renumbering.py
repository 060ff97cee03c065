"""Keypoints of another attempt get the job's numbers where they are the job's, and lose nothing."""

from __future__ import annotations

import numpy as np
import pytest

from splat_pipeline.domain.formats.colmap import NO_POINT, ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from splat_pipeline.domain.renumbering import SAME_PX, numbered_as, same_keypoints

LENS = ColmapCamera(model="PINHOLE", width_px=640, height_px=480, params=(500.0, 500.0, 320.0, 240.0))
KNOWN = 40


def features() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0, 400, (KNOWN, 2)) for name in ("a.jpg", "b.jpg")}


def richer(known: dict[str, np.ndarray]) -> ColmapModel:
    """Both images' features, shuffled, a little off, and as many others; keypoint i of both sees point 100 + i."""
    rng = np.random.default_rng(1)
    images = {}
    for number, (name, xys) in enumerate(known.items(), 1):
        found = np.concatenate([rng.permutation(xys) + rng.uniform(-0.3, 0.3, xys.shape), xys + 200])
        ids = 100 + np.arange(len(found))
        ids[::7] = NO_POINT
        images[number] = ColmapImage(
            name=name, camera_id=1, quat=np.array([1.0, 0, 0, 0]), translation=np.zeros(3), xys=found, point3d_ids=ids
        )
    seen = np.flatnonzero(np.arange(2 * KNOWN) % 7)
    points = ColmapPoints(
        ids=100 + seen, xyz=np.ones((len(seen), 3)), rgb=np.zeros((len(seen), 3), np.uint8),
        error_px=np.ones(len(seen)), track_lengths=np.full(len(seen), 2), track_images=np.tile([1, 2], len(seen)),
        track_keypoints=np.repeat(seen, 2),
    )  # fmt: skip
    return ColmapModel(cameras={1: LENS}, images=images, points=points)


def test_what_lies_where_a_feature_of_the_job_does_gets_its_number_and_the_rest_comes_after() -> None:
    known = features()
    for image in numbered_as(richer(known), known).images.values():
        assert len(image.xys) == 2 * KNOWN
        assert np.linalg.norm(image.xys[:KNOWN] - known[image.name], axis=1).max() < SAME_PX


def test_every_observation_is_still_of_its_point_at_its_place() -> None:
    known = features()
    before, after = richer(known), numbered_as(richer(known), known)
    for number, image in before.images.items():
        now = after.images[number]
        was = {int(p): tuple(xy) for p, xy in zip(image.point3d_ids, image.xys, strict=True) if p != NO_POINT}
        assert was == {int(p): tuple(xy) for p, xy in zip(now.point3d_ids, now.xys, strict=True) if p != NO_POINT}
    owner = np.repeat(after.points.ids, after.points.track_lengths)
    for point, number, at in zip(owner, after.points.track_images, after.points.track_keypoints, strict=True):
        assert after.images[int(number)].point3d_ids[at] == point


def test_features_that_an_attempt_did_not_find_keep_their_numbers_and_see_nothing() -> None:
    known = {name: np.concatenate([xys, xys[:5] + 1000]) for name, xys in features().items()}
    for image in numbered_as(richer(features()), known).images.values():
        assert (image.point3d_ids[KNOWN : KNOWN + 5] == NO_POINT).all()
        np.testing.assert_array_equal(image.xys[KNOWN : KNOWN + 5], known[image.name][KNOWN:])


def test_images_that_the_job_has_no_features_of_stay_as_they_are() -> None:
    model = richer(features())
    left = numbered_as(model, {"a.jpg": features()["a.jpg"]}).images[2]
    np.testing.assert_array_equal(left.xys, model.images[2].xys)


@pytest.mark.parametrize("more", [0, 9])
def test_only_keypoints_at_one_place_mean_the_same(more: int) -> None:
    one = features()["a.jpg"]
    other = np.concatenate([one + 0.2, np.zeros((more, 2))])
    other[3] += 50
    assert same_keypoints(one, other).tolist() == [i for i in range(KNOWN) if i != 3]
    assert len(same_keypoints(one, np.zeros((0, 2)))) == 0
