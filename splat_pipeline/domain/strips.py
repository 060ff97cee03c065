"""Drawings of clips over time and of how errors are spread, as inline SVG. Only numbers and fixed words go in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.charts import colour_of

Array = NDArray[np.float64]

_WIDE, _HIGH, _EDGE = 520, 44, 4
_BINS = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipCover:
    """What became of one clip's frames. Times are seconds, or positions in a set of photos."""

    stop_s: float
    rejected_s: Array
    """Frames that could not be used."""
    keyframes_s: Array
    confidence: Array
    """Of the keyframes: 0 to 1, NaN where no pose was found."""
    seconds: bool = True
    """Whether times are times."""


def coverage(clip: ClipCover) -> str:
    """Draw a clip as a band: rejected frames below, keyframes above in the colour of their pose, hollow if lost."""
    scale = (_WIDE - 2 * _EDGE) / max(clip.stop_s, 1e-9)
    band = f'<rect class="band" x="{_EDGE}" y="8" width="{_WIDE - 2 * _EDGE}" height="16" rx="3"/>'
    low = "".join(f"M{_EDGE + t * scale:.1f} 19v5" for t in clip.rejected_s)
    ticks = []
    for at, sure in zip(clip.keyframes_s, clip.confidence, strict=True):
        x = _EDGE + at * scale
        if np.isfinite(sure):
            ticks.append(f'<path d="M{x:.1f} 5v12" stroke="{colour_of(float(sure))}" stroke-width="2.4"/>')
        else:
            ticks.append(f'<circle class="lost" cx="{x:.1f}" cy="9" r="3.6"/>')
    unit = " s" if clip.seconds else " pictures"
    last = f"{clip.stop_s:.1f}" if clip.seconds else f"{clip.stop_s:.0f}"
    return (
        f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="Frames of a clip over time">{band}'
        f'<path class="rejected" d="{low}"/>{"".join(ticks)}<text x="{_EDGE}" y="40">0</text>'
        f'<text x="{_WIDE - _EDGE}" y="40" text-anchor="end">{last}{unit}</text></svg>'
    )


def histogram(values: Array, *, unit: str, low: float = 0.0) -> str:
    """Draw how ``values`` are spread from ``low`` on, with their median. Empty without values.

    The last bin also holds what lies half as far again from ``low`` as the 98th percentile.
    """
    fine = values[np.isfinite(values)]
    if not len(fine):
        return ""
    top = low + max((float(np.quantile(fine, 0.98)) - low) * 1.5, 1e-9)
    counts, _ = np.histogram(np.clip(fine, low, top), bins=_BINS, range=(low, top))
    wide, high, base = (_WIDE - 2 * _EDGE) / _BINS, 92, 112
    bars = "".join(
        f'<rect class="column" x="{_EDGE + i * wide:.1f}" y="{base - high * n / counts.max():.1f}" '
        f'width="{wide - 1.5:.1f}" height="{high * n / counts.max():.1f}"/>'
        for i, n in enumerate(counts)
        if n
    )
    middle = float(np.median(fine))
    x = _EDGE + (middle - low) / (top - low) * (_WIDE - 2 * _EDGE)
    return (
        f'<svg viewBox="0 0 {_WIDE} 134" role="img" aria-label="Distribution">{bars}'
        f'<path class="grid" d="M{_EDGE} {base}H{_WIDE - _EDGE}"/><path class="mark" d="M{x:.1f} 2V{base}"/>'
        f'<text x="{x + 6:.1f}" y="16">median {middle:.3g}{unit}</text>'
        f'<text x="{_EDGE}" y="130">{low:.3g}</text>'
        f'<text x="{_WIDE - _EDGE}" y="130" text-anchor="end">{top:.2g}{unit}</text></svg>'
    )
