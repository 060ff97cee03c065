import numpy as np
import pytest
from numba import njit

from splat_pipeline.splatting import blocks, lanes, series, turns
from splat_pipeline.splatting.lanes import WIDTH, bits, choose, first_bit, greater, lesser, load, store

R = np.random.default_rng(0)


def filled(count):
    return R.normal(size=count).astype("f4")


@njit
def arithmetic(a, out):
    x, y, half = load(a, 3), load(a, 20), np.float32(0.5)
    store(out, 0, (x + y) * half - x / (y * y + half))
    store(out, 16, lesser(x, y) - greater(-x, half))
    store(out, 32, choose((x < y) & (x >= half), half, y))
    return bits(x <= y), first_bit(40)


def test_lanes_do_sixteen_times_what_scalars_do():
    a, out = filled(64), np.zeros(48, np.float32)
    mask, bit = arithmetic(a, out)
    x, y, half = a[3:19], a[20:36], np.float32(0.5)
    np.testing.assert_allclose(out[:16], (x + y) * half - x / (y * y + half), rtol=1e-6)
    np.testing.assert_allclose(out[16:32], np.minimum(x, y) - np.maximum(-x, half), rtol=1e-6)
    np.testing.assert_array_equal(out[32:], np.where((x < y) & (x >= half), half, y))
    assert mask == sum(1 << i for i in range(WIDTH) if x[i] <= y[i])
    assert bit == 3


@njit
def functions(a, out):
    store(out, 0, series.exponential(load(a, 0)))
    store(out, 16, series.logarithm(load(a, 16)))
    store(out, 32, series.root(series.size(load(a, 32))))


def test_exponential_logarithm_and_root_are_those_of_numpy():
    for _ in range(20):
        a = np.concatenate([R.uniform(-86, 87, 16), np.exp(R.uniform(-6, 5.5, 16)), filled(16)]).astype("f4")
        out = np.zeros(48, np.float32)
        functions(a, out)
        exact = a.astype(float)
        np.testing.assert_allclose(out[:16], np.exp(exact[:16]), rtol=1e-5)
        np.testing.assert_allclose(out[16:32], np.log(exact[16:32]), atol=5e-7)
        np.testing.assert_allclose(out[32:], np.sqrt(abs(exact[32:])), rtol=1e-6)


@pytest.mark.parametrize(("value", "want"), [(np.nan, np.exp(88)), (np.inf, np.exp(88)), (-np.inf, np.exp(-87))])
def test_the_exponential_of_what_is_not_finite_is_the_outermost(value, want):
    out = np.zeros(48, np.float32)
    functions(np.full(48, value, np.float32), out)
    np.testing.assert_allclose(out[:16], want, rtol=1e-5)


@njit
def turned(a, out):
    x, y, z = load(a, 0), load(a, 16), load(a, 32)
    store(out, 0, turns.totals((x, y, z, x, x, x, x, x, y)))
    turns.weave(a, 64)
    turns.transpose(a, 128)
    return turns.total(x)


def test_sums_blocks_and_columns_are_those_of_numpy():
    a, out = filled(512), np.zeros(16, np.float32)
    kept = a.copy()
    first = turned(a, out)
    want = kept[:48].reshape(3, 16).sum(axis=1)
    np.testing.assert_allclose(out[:9], want[[0, 1, 2, 0, 0, 0, 0, 0, 1]], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(first, want[0], rtol=1e-4)
    np.testing.assert_array_equal(a[64:128].reshape(4, 4, 4), kept[64:128].reshape(4, 4, 4).swapaxes(0, 1))
    np.testing.assert_array_equal(a[128:384].reshape(16, 16), kept[128:384].reshape(16, 16).T)


@njit
def far(a):
    lanes.fetch(a, 5)
    return lanes.room(7).ctypes.data % 64


def test_asking_for_memory_changes_nothing_and_room_starts_on_a_cache_line():
    assert far(filled(16)) == 0


@njit
def fallen(power, out):
    for at in range(0, len(power), WIDTH):
        store(out, at, blocks.falloff(load(power, at)))


def test_the_falloff_is_the_exponential_as_far_as_gaussians_are_drawn():
    power = np.linspace(0, blocks.DIM, 4096, dtype=np.float32)
    out = np.zeros_like(power)
    fallen(power, out)
    np.testing.assert_allclose(out, np.exp(-power.astype(float)), rtol=1.5e-6)
