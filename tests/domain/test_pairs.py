import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.pairs import (
    PER_IMAGE,
    all_pairs,
    appearance,
    posed_pairs,
    sampled,
    sequence_pairs,
    similar_pairs,
)


def places(visits, seed=0, per_place=60):
    """Descriptors of images: those of one place share most of their features, up to noise."""
    rng = np.random.default_rng(seed)
    stock = {place: rng.integers(0, 200, (per_place, 128)) for place in sorted(set(visits))}
    noisy = [stock[place] + rng.integers(0, 6, (per_place, 128)) for place in visits]
    return [d.astype(np.uint8) for d in noisy]


@given(st.integers(0, 30), st.integers(1, 12))
def test_neighbours_are_every_offset_up_to_the_overlap(count, overlap):
    pairs = sequence_pairs(count, overlap)
    assert pairs == {(i, j) for i, j in all_pairs(count) if j - i <= overlap}
    assert len(all_pairs(count)) == count * (count - 1) // 2


def test_the_end_of_an_orbit_is_matched_with_its_start():
    visits = [*range(20), 0, 1, 2]
    looks = appearance(places(visits), seed=0)
    np.testing.assert_allclose(np.linalg.norm(looks, axis=1), 1, atol=1e-5)
    found = similar_pairs(looks, ["clip"] * len(visits), overlap=4, each=1)
    assert {(0, 20), (1, 21), (2, 22)} <= found
    assert all(j - i > 4 for i, j in found)


def test_two_clips_of_one_place_are_matched_across():
    visits = [0, 1, 2, 3, 0, 1, 2, 3]
    found = similar_pairs(appearance(places(visits), seed=0), ["a"] * 4 + ["b"] * 4, overlap=7, each=1)
    assert found == {(0, 4), (1, 5), (2, 6), (3, 7)}


def test_the_same_images_and_seed_give_the_same_pairs():
    descriptors = places([0, 1, 2, 1, 0])
    np.testing.assert_array_equal(appearance(descriptors, seed=5), appearance(descriptors, seed=5))


@pytest.mark.parametrize("counts", [[0, 0, 0], [0, 3, 1]])
def test_images_without_features_do_no_harm(counts):
    descriptors = [np.ones((count, 128), np.uint8) for count in counts]
    looks = appearance(descriptors, seed=0)
    assert np.isfinite(looks).all()
    pairs = similar_pairs(looks, ["a", "b", "c"], overlap=1, each=2)
    assert all(i < j for i, j in pairs)


@given(st.integers(0, 5 * PER_IMAGE))
def test_a_sample_is_small_spreads_over_all_and_is_its_own_sample(count):
    rows = np.arange(count * 2, dtype=np.uint32).view(np.uint8).reshape(count, 8)
    few = sampled(rows)
    assert min(count, PER_IMAGE // 2) <= len(few) <= PER_IMAGE
    np.testing.assert_array_equal(sampled(few), few)
    if count:
        np.testing.assert_array_equal(few[0], rows[0])


def ring(count, *, outward=False):
    """Cameras on a circle that look at its centre, or away from it."""
    at = [np.array([np.sin(a), 0, -np.cos(a)]) for a in np.linspace(0, 2 * np.pi, count, endpoint=False)]
    return np.stack([look_at(center, 2 * center if outward else np.zeros(3)) for center in at])


@pytest.mark.parametrize("outward", [False, True])
def test_posed_cameras_are_paired_with_neighbours_around_the_circle_and_some_farther_off(outward):
    pairs = posed_pairs(ring(40, outward=outward), each=8)
    steps = [min(j - i, 40 - j + i) for i, j in pairs]
    assert all(i < j for i, j in pairs)
    assert steps.count(1) == 40, "every neighbour, the last with the first too"
    assert max(steps) * 9 <= 60, "no camera that looks another way"
    assert max(steps) >= 5, "wide angles too"
    assert len(pairs) <= 40 * 8


def test_posed_pairs_do_not_depend_on_the_convention_of_axes():
    poses = ring(30)
    assert posed_pairs(np.diag([1.0, -1, -1, 1]) @ poses, each=6) == posed_pairs(poses, each=6)


def test_cameras_back_to_back_and_single_ones_have_no_pairs():
    there, back = look_at(np.zeros(3), np.array([0.0, 0, 1])), look_at(np.zeros(3), np.array([0.0, 0, -1]))
    assert posed_pairs(np.stack([there, back]), each=4) == set()
    assert posed_pairs(there[None], each=4) == set()
    assert posed_pairs(np.stack([there, there]), each=4) == {(0, 1)}
