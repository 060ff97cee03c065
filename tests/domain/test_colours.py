"""High dynamic range becomes standard by the curves of the recommendations."""

from __future__ import annotations

import numpy as np
import pytest

from splat_pipeline.domain.colours import (
    BT709,
    BT2020,
    HLG,
    P3_D65,
    PQ,
    STEPS,
    UNSPECIFIED,
    WHITE_NITS,
    compressed,
    conversion,
    hlg_light,
    pq_nits,
    pq_signal,
)


def test_curves_go_through_the_points_of_the_recommendations() -> None:
    """BT.2408-7 tables 1 and 2: reference white and 18 % grey."""
    assert 1000 * hlg_light(np.array([0.75, 0.38])) ** 1.2 == pytest.approx([203, 26], abs=1)
    assert pq_nits(np.array([0.58, 0.38, 1.0])) == pytest.approx([203, 26, 10_000], rel=0.02)
    nits = np.array([0.01, 1, 100, 1000, 10_000])
    np.testing.assert_allclose(pq_nits(pq_signal(nits)), nits, rtol=1e-6)


def test_compression_keeps_what_is_dark_and_never_falls() -> None:
    nits = np.geomspace(0.01, 10_000, 400)
    light = compressed(nits)
    dark = nits < 85
    np.testing.assert_allclose(light[dark], nits[dark] / WHITE_NITS, rtol=1e-6)
    assert (np.diff(light) >= 0).all()
    assert light[-1] == pytest.approx(1.0, abs=1e-6)
    assert 0.75 < float(compressed(np.array(WHITE_NITS))) < 0.85


def test_gamuts_are_those_of_bt2087() -> None:
    """ITU-R BT.2087-0 annex 2 inverted, as ITU-R BT.2407-0 section 2 has it."""
    wide = conversion(HLG, BT2020)
    assert wide is not None
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(wide.to_bt709, expected, atol=1e-4)
    np.testing.assert_allclose(wide.luminance, [[0.2627, 0.6780, 0.0593]], atol=1e-4)


def test_standard_signals_are_left_alone_and_wide_ones_are_not() -> None:
    assert conversion(BT709, BT709) is None
    assert conversion(UNSPECIFIED, UNSPECIFIED) is None
    assert conversion(BT709, P3_D65) is not None
    assert conversion(PQ, UNSPECIFIED) is not None


@pytest.mark.parametrize("transfer", [BT709, HLG, PQ])
def test_brighter_signals_never_become_darker_and_greys_stay_grey(transfer: int) -> None:
    by = conversion(transfer, BT2020)
    assert by is not None
    np.testing.assert_allclose(by.to_bt709.sum(axis=1), 1, atol=1e-5)
    light = by.light * by.gain[np.rint(np.sqrt(by.light.clip(0, 1)) * (STEPS - 1)).astype(int)]
    codes = by.code[np.rint(np.sqrt(light.clip(0, 1)) * (STEPS - 1)).astype(int)].astype(int)
    assert codes[0] == 0
    assert codes[-1] == 255
    assert (np.diff(codes) >= -1).all()
