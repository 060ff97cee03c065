"""A focal length is found from matches and poses."""

from __future__ import annotations

import numpy as np
import pytest

from splat_pipeline.domain.errors import FewPoints
from splat_pipeline.domain.focal import MatchedPair, focal_px
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.rigid import inverse


def pairs(focal, *, noise_px=0.5, wrong=0.1, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (300, 3))
    poses = [look_at(np.array([4 * np.sin(a), -0.5, -4 * np.cos(a)]), np.zeros(3)) for a in np.linspace(0, 0.6, 5)]
    seen = []
    for pose in poses:
        inside = points @ pose[:3, :3].T + pose[:3, 3]
        px = focal * inside[:, :2] / inside[:, 2:] + rng.normal(0, noise_px, (300, 2))
        px[rng.random(300) < wrong] = rng.uniform(-300, 300, 2)
        seen.append(px)
    return [
        MatchedPair(a=seen[i], b=seen[j], b_from_a=poses[j] @ inverse(poses[i])) for i in range(5) for j in range(i)
    ]


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.2, 2.5])
def test_the_focal_length_is_found_in_spite_of_noise_and_wrong_matches(ratio):
    assert focal_px(pairs(1000 * ratio), 1000) == pytest.approx(1000 * ratio, rel=0.02)


def test_few_matches_tell_nothing():
    with pytest.raises(FewPoints, match="0 matches"):
        focal_px([], 1000)
