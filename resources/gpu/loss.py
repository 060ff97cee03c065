"""The photometric loss of ``splatting.loss`` in torch, and what pulls beside it.

0.8 L1 + 0.2 (1 - SSIM)     with the 11x11 Gaussian window of sigma 1.5, zeros outside the picture
weight |1/d - 1/z| E        at the sparse points in view: d drawn depth, z theirs, E the scene's extent
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # as everywhere

from resources.gpu.splats import Splats
from splat_pipeline.splatting.loss import C1, C2, REACH, WINDOW


@cache
def _window(device: Any, kind: Any) -> Any:
    return torch.tensor(WINDOW, device=device, dtype=kind)


def _filtered(planes: Any) -> Any:
    """Return (1, C, H, W) under the window."""
    line, channels = _window(planes.device, planes.dtype), planes.shape[1]
    across = F.conv2d(planes, line.expand(channels, 1, 1, -1), padding=(0, REACH), groups=channels)
    return F.conv2d(across, line[:, None].expand(channels, 1, -1, 1), padding=(REACH, 0), groups=channels)


def ssim(image: Any, truth: Any) -> Any:
    """Return the structural similarity of (H, W, 3) pictures, as ``splatting.metrics.ssim``."""
    x, y = (picture.permute(2, 0, 1)[None] for picture in (image, truth))
    both = torch.cat([x, y, x * x + y * y, x * y], 1)
    ux, uy, squares, products = _filtered(both).split(3, 1)
    means, covariance = ux * uy, products - ux * uy
    variances = squares - ux * ux - uy * uy
    c1, c2 = float(C1), float(C2)
    score = (2 * means + c1) * (2 * covariance + c2) / ((ux * ux + uy * uy + c1) * (variances + c2))
    return score.mean()


def photometric(image: Any, truth: Any, ssim_weight: float) -> Any:
    """Return the loss of pictures (H, W, 3) in [0, 1]."""
    return (1 - ssim_weight) * (image - truth).abs().mean() + ssim_weight * (1 - ssim(image, truth))


def penalty(splats: Splats, weights: tuple[float, float], extent: float) -> Any:
    """Return the pull on the mean opacity and on the mean size; 0.0 where neither has a weight."""
    total: Any = 0.0
    if weights[0] > 0:
        total = total + weights[0] * torch.sigmoid(splats["opacities"]).mean()
    if weights[1] > 0:
        total = total + weights[1] * torch.exp(splats["scales"]).mean() / extent
    return total


def depth_apart(depth: Any, alpha: Any, places: Any, inverse_depths: Any, extent: float) -> Any:
    """Return how far the drawn ``depth`` (H, W) is from that of points at ``places`` (P, 2) in [-1, 1], in 1 / extents.

    Where nothing is drawn yet there is no depth to compare.
    """
    both = torch.stack([depth, alpha])[None]
    sampled = F.grid_sample(both, places[None, None], align_corners=False, padding_mode="border")[0, :, 0]
    there = (sampled[1].detach() > 0.5) & (sampled[0].detach() > 0)
    apart = (1 / sampled[0].clamp_min(1e-6) - inverse_depths).abs() * there
    return extent * apart.sum() / there.sum().clamp_min(1)
