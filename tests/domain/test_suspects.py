"""Which windows are doubted, which are done without, and what that is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pieces import MOVED, bent, piece

from splat_pipeline.domain.alignment import Alignment, overlaps
from splat_pipeline.domain.evaluation import centers
from splat_pipeline.domain.joining import join
from splat_pipeline.domain.matches import MatchedPair
from splat_pipeline.domain.rigid import Similarity
from splat_pipeline.domain.suspects import disagreeing, doubts, suspects


def neighbours(first, stop, config):
    matches = np.zeros((40, 2), np.uint32)
    return [
        MatchedPair(first=f"a/{i}.jpg", second=f"a/{i + 1}.jpg", far=False, matches=matches, config=config)
        for i in range(first, stop - 1)
    ]


def test_views_of_one_plane_are_doubted():
    pieces = [piece(0, 0, 20), piece(1, 20, 40)]
    pairs = [*neighbours(0, 20, "UNCALIBRATED"), *neighbours(20, 40, "PLANAR_OR_PANORAMIC")]
    found = suspects(pieces, pairs)
    assert list(found) == [1]
    assert found[1].startswith("100 % of its neighbouring views")


def test_an_error_far_above_the_others_is_doubted():
    pieces = [piece(i, 20 * i, 20 * i + 20) for i in range(3)]
    images = {
        i: replace(image, xys=image.xys + np.random.default_rng(i).normal(0, 20, image.xys.shape))
        for i, image in pieces[1].model.images.items()
    }
    pieces[1] = replace(pieces[1], model=replace(pieces[1].model, images=images))
    found = suspects(pieces, neighbours(0, 60, "UNCALIBRATED"))
    assert list(found) == [1]
    assert "its error is" in found[1]


def aligned(share):
    return Alignment(first_from_second=Similarity.identity(), inliers=round(100 * share), shared=100)


@pytest.mark.parametrize(
    ("shares", "blamed"),
    [
        ({(0, 1): 0.9, (1, 2): 0.8}, []),
        ({(0, 1): 0.3, (1, 2): 0.2, (2, 3): 0.9}, [1]),
        ({(0, 1): 0.3, (1, 2): 0.9}, [0]),
        ({(0, 1): 0.3, (1, 2): 0.3, (2, 3): 0.3, (3, 4): 0.3}, [1, 3]),
    ],
)
def test_the_fewest_windows_that_explain_what_does_not_fit_are_blamed(shares, blamed):
    found = disagreeing({key: aligned(share) for key, share in shares.items()})
    assert sorted(found) == blamed


def test_windows_that_cannot_be_aligned_at_all_clash():
    found = disagreeing({(0, 1): None, (1, 2): None, (2, 3): aligned(0.9)})
    assert found == {1: "0 % of the points that it shares with window 0 and 2 lie at the same place"}


def walk():
    """Five windows of 20, each sharing 10 images with the next and none with the one after that."""
    worlds = [None, MOVED, None, MOVED, None]
    return [piece(i, 10 * i, 10 * i + 20, world=world) for i, world in enumerate(worlds)]


def test_sound_windows_agree():
    pieces = walk()
    shares = [found.inliers / found.shared for found in overlaps(pieces, seed=0).values()]
    assert len(shares) == 4
    assert min(shares) > 0.8
    assert doubts(pieces, neighbours(0, 60, "UNCALIBRATED"), seed=0) == {}


def test_a_bent_window_that_the_others_can_do_without_is_dropped():
    pieces = walk()
    pieces[4] = bent(pieces[4], 40)
    assert list(doubts(pieces, [], seed=0)) == [4]
    joined = join(pieces, [], seed=0)
    assert list(joined.dropped) == [4]
    assert sorted(joined.poses) == list(range(50))
    assert_straight(joined)


def test_a_bent_window_that_alone_ties_the_others_together_is_kept_and_doubted():
    pieces = walk()
    pieces[2] = bent(pieces[2], 40)
    joined = join(pieces, [], seed=0)
    assert joined.dropped == {}
    assert list(joined.suspects) == [2]
    assert sorted(joined.poses) == list(range(60))


def assert_straight(joined):
    """The camera moves by equal steps along a line."""
    at = centers(np.stack([joined.poses[i] for i in sorted(joined.poses)]))
    steps = np.linalg.norm(np.diff(at, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.1)
