import numpy as np
import pytest

from splat_pipeline.splatting.loss import BAND, loss_and_gradient
from splat_pipeline.splatting.metrics import psnr, ssim


def slow_ssim_map(a, b):
    """(H, W) float64, by the definition, one window at a time."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    pa, pb = np.pad(a, 5), np.pad(b, 5)
    out = np.zeros(a.shape)
    for i, j in np.ndindex(a.shape):
        x, y = pa[i : i + 11, j : j + 11], pb[i : i + 11, j : j + 11]
        ux, uy = (window * x).sum(), (window * y).sum()
        sxx, syy = (window * x * x).sum() - ux**2, (window * y * y).sum() - uy**2
        sxy = (window * x * y).sum() - ux * uy
        out[i, j] = (2 * ux * uy + 1e-4) * (2 * sxy + 9e-4) / ((ux**2 + uy**2 + 1e-4) * (sxx + syy + 9e-4))
    return out


def slow_loss(x, y, *, ssim_weight=0.2, square_weight=0.0):
    similar = np.mean([slow_ssim_map(a, b) for a, b in zip(x, y, strict=True)])
    apart = (1 - ssim_weight) * np.abs(x - y).mean() + ssim_weight * (1 - similar)
    return apart + square_weight * np.square(x - y).mean()


@pytest.fixture
def pair():
    r = np.random.default_rng(0)
    return r.uniform(0, 1, (3, 14, 19)), r.uniform(0, 1, (3, 14, 19))


def test_bands_do_not_show():
    r = np.random.default_rng(2)
    x, y = r.uniform(0, 1, (2, 3, 3 * BAND - 7, 21))
    loss, l1, gradient = fast(x, y)
    assert l1 == pytest.approx(np.abs(x - y).mean(), abs=1e-6)
    cut = slice(BAND - 40, BAND + 40)
    _, _, part = fast(x[:, cut], y[:, cut])
    inner = slice(10, 70)
    np.testing.assert_allclose(
        gradient[:, cut][:, inner] * x.size, part[:, inner] * x[:, cut].size, rtol=2e-3, atol=2e-4
    )
    assert 0 < loss < 1


def fast(x, y, **weights):
    gradient = np.full(x.shape, np.nan, np.float32)
    loss, l1 = loss_and_gradient(x.astype("f4"), y.astype("f4"), gradient, **weights)
    return loss, l1, gradient


WEIGHTS = [{}, {"ssim_weight": 0.35, "square_weight": 15.0}, {"ssim_weight": 0.0, "square_weight": 1.0}]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_loss_is_the_slow_one(pair, weights):
    loss, l1, _ = fast(*pair, **weights)
    told = {name: value for name, value in weights.items() if name != "square_weight"}
    assert loss == pytest.approx(slow_loss(*pair, **told), abs=1e-5), "the squares are in the gradient alone"
    assert l1 == pytest.approx(np.abs(pair[0] - pair[1]).mean(), abs=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_gradient_is_the_finite_difference_of_the_slow_loss(pair, weights):
    x, y = pair
    _, _, gradient = fast(x, y, **weights)
    for at in [(0, 0, 0), (1, 7, 9), (2, 13, 18), (0, 13, 3), (1, 2, 17), (2, 6, 6)]:
        seen = []
        for h in (1e-5, -1e-5):
            moved = x.copy()
            moved[at] += h
            seen.append(slow_loss(moved, y, **weights))
        assert gradient[at] == pytest.approx((seen[0] - seen[1]) / 2e-5, abs=2e-6)


def test_equal_pictures_have_no_loss_and_no_gradient(pair):
    loss, l1, gradient = fast(pair[0], pair[0])
    assert loss == pytest.approx(0, abs=1e-6)
    assert l1 == 0
    assert np.abs(gradient).max() < 1e-6


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 3), (25, 25)])
def test_pictures_of_any_size_are_compared(shape):
    r = np.random.default_rng(1)
    a, b = (r.uniform(0, 1, (*shape, 3)).astype("f4") for _ in range(2))
    want = np.mean([slow_ssim_map(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)])
    assert ssim(a, b) == pytest.approx(want, abs=1e-5)


def test_psnr_of_a_known_error():
    a = np.zeros((4, 4, 3), np.float32)
    assert psnr(a, a + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    assert psnr(a, a) == float("inf")


def test_pictures_of_different_size_are_refused():
    with pytest.raises(ValueError, match="must both be"):
        psnr(np.zeros((4, 4, 3), np.float32), np.zeros((4, 5, 3), np.float32))
