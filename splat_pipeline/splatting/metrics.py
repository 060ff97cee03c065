"""How near a picture is to the truth: PSNR and SSIM, with or without a change of colours."""

from __future__ import annotations

import numpy as np

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.layout import FAST, Float32, Real
from splat_pipeline.splatting.loss import means

ONE = np.float32(1)
ZERO = np.float32(0)


def psnr(a: Float32, b: Float32) -> float:
    """Return the peak signal-to-noise ratio in dB of (H, W, 3) pictures in [0, 1]; inf when they are the same."""
    _same_shape(a, b)
    mse = float(np.mean(np.square(a.astype(np.float64) - b)))
    return float("inf") if mse == 0 else -10 * float(np.log10(mse))


def ssim(a: Float32, b: Float32) -> float:
    """Return the structural similarity of (H, W, 3) pictures in [0, 1], mean over pixels and channels.

    Wang et al. 2004 with the 11x11 Gaussian window of sigma 1.5 and zeros outside the picture, as the papers on
    Gaussian splatting report it.
    """
    _same_shape(a, b)
    planes = [np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) for picture in (a, b)]
    return means(planes[0], planes[1], np.empty_like(planes[0]))[0]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def squared_error(image: Float32, truth: Float32) -> Real:
    """Return the sum of squared differences of two pictures (3, H, W), ``image`` clipped to [0, 1]."""
    total: Real = 0.0
    for channel in range(image.shape[0]):
        for j in range(image.shape[1]):
            row, other = image[channel, j], truth[channel, j]
            sums: Real = ZERO
            for i in range(image.shape[2]):
                difference = min(max(row[i], ZERO), ONE) - other[i]
                sums += difference * difference
            total += sums
    return total


def recolored(seen: Float32, truth: Float32) -> Float32:
    """Return ``seen`` (H, W, 3) with its colours changed by the affine map that brings them nearest to ``truth``.

    The map, (3, 3) and (3,), is the least-squares fit over all pixels; the result is clipped to [0, 1]. Its PSNR is
    what the literature calls colour-corrected.
    """
    _same_shape(seen, truth)
    colors = np.concatenate([seen.reshape(-1, 3), np.ones((seen.size // 3, 1))], axis=1, dtype=np.float64)
    change = np.linalg.lstsq(colors.T @ colors, colors.T @ truth.reshape(-1, 3).astype(np.float64), rcond=None)[0]
    out: Float32 = np.clip(colors @ change, 0, 1).reshape(seen.shape).astype(np.float32)
    return out


def _same_shape(a: Float32, b: Float32) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(f"pictures must both be (H, W, 3), got {a.shape} and {b.shape}")
