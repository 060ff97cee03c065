"""Whether known poses can be right: by themselves, and held against what was matched between their images.

M matches, each a ray (x/z, y/z) in either camera, lens distortion taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.errors import WrongPoses

Float = NDArray[np.float64]

RIGID = 1e-3
"""How far a written rotation may be from being one."""
LEAST_ANGLE_DEG = 0.5
"""Between two rays: below, noise decides whether they meet before or behind the cameras."""
LIMIT_SHARE = 0.005
"""Of an image's longer side: poses whose median error is larger do not belong to the images.

On a real capture right poses gave 0.0003, noise of half a degree 0.003, a focal length off by a fifth 0.005, flipped
axes 0.025, shuffled poses 0.07.
"""
LEAST_DECIDED = 0.05
"""Share of matches that must tell before from behind: of a camera that only turned, outliers alone do."""
LIMIT_BEHIND = 0.5
"""Share of matches: 0.02 was seen with right poses, 0.9 with flipped axes.

Cameras one above the other that all look one way keep their epipolar lines when their axes are flipped: the error
alone would not tell.
"""


def check_rigid(images: Sequence[str], cams_from_world: Float) -> None:
    """Hold (N, 4, 4) poses against what a pose is. Raises ``WrongPoses`` naming the first image whose pose is none."""
    if cams_from_world.shape != (len(images), 4, 4):
        raise ValueError(f"{len(images)} images need as many 4x4 poses, got {cams_from_world.shape}")
    for image, pose in zip(images, cams_from_world, strict=True):
        rotation = pose[:3, :3]
        skew = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if not (np.isfinite(pose).all() and skew < RIGID and np.allclose(pose[3], [0, 0, 0, 1])):
            shown = pose.round(4).tolist()
            raise WrongPoses(f"the pose of {image} is no rotation and translation: {shown}", file=image)
        if np.linalg.det(rotation) < 0:
            raise WrongPoses(f"the pose of {image} mirrors the world: one axis is flipped", file=image)


@dataclass(frozen=True, kw_only=True, eq=False)
class PairAgreement:
    """How the M matches of one pair of images fit to the poses."""

    error_px: Float
    """(M,) distance from the epipolar lines (Sampson's); NaN where the two cameras stand at one place."""
    behind: int
    """Matches whose rays meet behind a camera."""
    decided: int
    """Matches whose rays part by ``LEAST_ANGLE_DEG`` or more, those behind among them."""


def pair_agreement(rays: tuple[Float, Float], b_from_a: Float, focal_px: float) -> PairAgreement:
    """Hold matches against a relative pose. ``rays``: (M, 2) in camera a and in b; ``b_from_a``: (4, 4).

    Sampson's distance: Hartley and Zisserman 2004, equation 11.9, in units of the rays, times ``focal_px``.
    """
    a, b = (np.concatenate([each, np.ones((len(each), 1))], axis=1) for each in rays)
    turned, shift = a @ b_from_a[:3, :3].T, b_from_a[:3, 3]
    lines_b, lines_a = np.cross(shift, turned), np.cross(b, shift) @ b_from_a[:3, :3]  # E a and E^T b, E = [t]x R
    slope = np.sqrt((lines_b[:, :2] ** 2).sum(1) + (lines_a[:, :2] ** 2).sum(1))
    distance = np.abs((b * lines_b).sum(1)) / np.where(slope > 0, slope, np.nan)
    between = np.cross(turned, b)
    sine = np.linalg.norm(between, axis=1) / (np.linalg.norm(turned, axis=1) * np.linalg.norm(b, axis=1))
    # depth_a turned + shift = depth_b b: the cross product with b, or with turned, leaves one unknown
    depth_a = -(np.cross(shift, b) * between).sum(1)
    depth_b = (np.cross(turned, shift) * between).sum(1)
    decided = sine > np.sin(np.radians(LEAST_ANGLE_DEG))
    behind = decided & ((depth_a < 0) | (depth_b < 0))
    return PairAgreement(error_px=distance * focal_px, behind=int(behind.sum()), decided=int(decided.sum()))


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How known poses fit to all verified matches."""

    matches: int
    error_px: float
    """Median distance of a match from its epipolar lines; NaN without any."""
    behind_share: float
    """Of the matches that tell, those that meet behind a camera; 0 where fewer than ``LEAST_DECIDED`` tell."""
    by_image: Mapping[str, float]
    """Median error in px of each image that was matched."""

    def contradiction(self, longer_side_px: int) -> str | None:
        """Return how the poses contradict images of this size, in a sentence; None when they do not."""
        if self.error_px > LIMIT_SHARE * longer_side_px:
            return (
                f"the poses do not agree with the images: median epipolar error of {self.error_px:.1f} px over "
                f"{self.matches} matches, at most {LIMIT_SHARE * longer_side_px:.1f} is noise"
            )
        if self.behind_share > LIMIT_BEHIND:
            return (
                f"by these poses {100 * self.behind_share:.0f} % of what the images show lies behind the cameras "
                f"(median epipolar error {self.error_px:.1f} px)"
            )
        return None

    def outliers(self, longer_side_px: int) -> Sequence[str]:
        """Return the images whose own median error is above the limit for images of this size, worst first."""
        bad = {image: error for image, error in self.by_image.items() if error > LIMIT_SHARE * longer_side_px}
        return sorted(bad, key=lambda image: -bad[image])


def overall(pairs: Mapping[tuple[str, str], PairAgreement]) -> Agreement:
    """Put the pairs of images together."""
    errors: dict[str, list[Float]] = {}
    for pair, found in pairs.items():
        for image in pair:
            errors.setdefault(image, []).append(found.error_px)
    every = np.concatenate([np.zeros(0), *(found.error_px for found in pairs.values())])
    behind, decided = sum(found.behind for found in pairs.values()), sum(found.decided for found in pairs.values())
    return Agreement(
        matches=len(every),
        error_px=_median(every),
        behind_share=behind / decided if decided > LEAST_DECIDED * len(every) else 0.0,
        by_image={image: _median(np.concatenate(each)) for image, each in sorted(errors.items())},
    )


def _median(values: Float) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
