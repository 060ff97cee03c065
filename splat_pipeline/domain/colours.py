"""Signals of video as light, and light as sRGB: what HLG, PQ and wide gamuts mean in standard dynamic range.

Light is relative to the white of a standard picture, which is set to the reference white of high dynamic range, 203
cd/m2 (ITU-R BT.2408-7 section 2): below about 90 cd/m2 a picture keeps its brightness, what is brighter is compressed
(ITU-R BT.2390-11 section 5.4.1) instead of cut off. All three channels take the same factor, so hues stay.
Code numbers are those of ITU-T H.273.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

BT709, UNSPECIFIED, BT2020, P3_D65 = 1, 2, 9, 12
PQ, HLG = 16, 18
WHITE_NITS = 203.0
PEAK_NITS = 1000.0
"""HLG's nominal peak, and what PQ of cameras is graded for; brighter is white."""
STEPS = 4096
"""Entries of each table: signals and roots of light, 0 to 1."""
_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3_D65: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_SYSTEM_GAMMA = 1.2
_DISPLAY_GAMMA = 2.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Conversion:
    """Tables that take a signal's RGB to a standard one."""

    light: Float
    """(STEPS,) light by signal, in the units that ``gain`` expects."""
    luminance: Float
    """(1, 3) weights of the source's primaries."""
    gain: Float
    """(STEPS,) factor by the square root of the luminance: to light relative to white."""
    to_bt709: Float
    """(3, 3) from the source's primaries."""
    code: NDArray[np.uint8]
    """(STEPS,) 8-bit signal by the square root of the light relative to white."""


@cache
def conversion(transfer: int, primaries: int) -> Conversion | None:
    """Return how a signal becomes a standard one by H.273 numbers; None where it is one already.

    High dynamic range without primaries is taken for BT.2020, which BT.2100 prescribes.
    """
    if transfer in {PQ, HLG} and primaries == UNSPECIFIED:
        primaries = BT2020
    if transfer not in {PQ, HLG} and primaries not in {BT2020, P3_D65}:
        return None
    source = primaries if primaries in _CHROMATICITIES else BT709
    xyz = _xyz_from_rgb(source)
    steps = np.linspace(0.0, 1.0, STEPS)
    light, gain = _curves(transfer, steps)
    return Conversion(
        light=light.astype(np.float32),
        luminance=xyz[1:2].astype(np.float32),
        gain=gain.astype(np.float32),
        to_bt709=(np.linalg.inv(_xyz_from_rgb(BT709)) @ xyz).astype(np.float32),
        code=np.rint(255 * steps ** (2 / _DISPLAY_GAMMA)).astype(np.uint8),
    )


def _curves(transfer: int, steps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``light`` by signal and ``gain`` by root of luminance, both at ``steps``."""
    luminance = np.maximum(steps, 0.5 / STEPS) ** 2
    if transfer == HLG:  # the opto-optical transfer function: BT.2100-2 table 5
        shown_nits = PEAK_NITS * luminance**_SYSTEM_GAMMA
        return hlg_light(steps), compressed(shown_nits) / luminance
    if transfer == PQ:
        return pq_nits(steps) / 10_000, compressed(10_000 * luminance) / luminance
    return steps**_DISPLAY_GAMMA, np.ones(STEPS)


def hlg_light(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scene's light (0 to 1) of an HLG signal: the inverse OETF of ITU-R BT.2100-2 table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cd/m2 of a PQ signal: the EOTF of ITU-R BT.2100-2 table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return 10_000.0 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def pq_signal(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert ``pq_nits``."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10_000.0) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def compressed(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return light relative to white, 0 to 1: straight below a knee, then the Hermite spline of BT.2390-11 5.4.1."""
    top = pq_signal(np.array(PEAK_NITS))
    level = np.minimum(pq_signal(nits) / top, 1.0)
    most = pq_signal(np.array(WHITE_NITS)) / top
    knee = 1.5 * most - 0.5
    t = (level - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.where(level < knee, nits, pq_nits(np.where(level < knee, 0.0, spline) * top)) / WHITE_NITS


def _xyz_from_rgb(primaries: int) -> NDArray[np.float64]:
    """Return the (3, 3) matrix to CIE XYZ, white at Y = 1 (SMPTE RP 177 section 3.3)."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in _CHROMATICITIES[primaries]]).T
    x, y = _D65
    return columns * np.linalg.solve(columns, [x / y, 1.0, (1 - x - y) / y])
