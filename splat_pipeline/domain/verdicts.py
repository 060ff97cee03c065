"""Whether any splat can come of a clip: verdicts that a person can act on, before anything expensive runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from splat_pipeline.domain.errors import (
    Blurred,
    MovingObjects,
    NoTexture,
    RotationOnly,
    StaticCamera,
    TooDark,
    TooShort,
    WeakFootage,
)
from splat_pipeline.domain.frames import FrameMeasure
from splat_pipeline.domain.scoring import REPEAT_BELOW

LEAST_FRAMES, LEAST_S = 8, 2.0
DARK_LUMA = 14.0
BLURRED_BELOW = 0.014
"""Variance of the Laplacian over variance of luma: 0.045 and more for every real clip that we have, 0.018 for a near
wall of soft texture, 0.008 and 0.011 behind Gaussians of 1 and 3 % of a small picture's width, 0.0015 behind sigma 10.
Not a rank of sharpness, only the question whether anything is in focus at all."""
BARE_BELOW = 0.04
STILL_ABOVE, BACKGROUND_STILL_ABOVE = 0.5, 0.1
"""Median and tenth percentile of the share of corners that stand still over 0.5 s. Measured: fixed cameras 0.88 and
0.82, a box turned by hand before one 0.18 and 0.16, every moving camera 0.00 (and 0.00 at the 95th percentile)."""
STANDS_PX = 0.15
"""Median motion between analysed frames below which nothing moves."""
TURNS_ABOVE = 0.9
"""Share of the moving frames that a turn on the spot explains. Measured: at most 0.03 for every walking camera."""
RIGID_BELOW = 0.7
"""Median share of tracks that one camera motion explains. Measured: 0.91 and more for every real capture, 0.87 and more
for clips of 240 px whose exposure wanders, 0.55 to 0.65 for a walk through a crowd."""
MOST_SPANS = 4

Test = Callable[[FrameMeasure], bool]


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """What is judged, to be named in the cause and the remedy."""

    measures: Sequence[FrameMeasure]
    name: str
    images: bool

    def weak(self, kind: type[WeakFootage], cause: str, test: Test | None = None) -> WeakFootage:
        """Return the error, with when in the clip ``test`` holds, in both; no test: all the time."""
        when, remedy = "", f"{self.name}: {kind.remedy}"
        if test is not None:
            when = " " + spans(self.measures, test, images=self.images)
            places = when if self.images else f" at {clocks(self.measures, test)}"
            remedy = f"{self.name}{places}: {kind.remedy}"
        about = f"{self.name} ({len(self.measures)} frames)"
        return kind(f"{about}: {cause}{when}", file=self.name, remedy=remedy)


def judge_clip(measures: Sequence[FrameMeasure], *, name: str, images: bool = False) -> WeakFootage | None:
    """Return why no splat can come of a clip (or image set), or None. Cheap: it runs before anything expensive.

    The cause names the clip, the figure, and when in the clip it is so.
    """
    times = [m.pts_s for m in measures]
    if len(measures) < LEAST_FRAMES or (not images and times[-1] - times[0] < LEAST_S):
        seconds = "" if images or not times else f" over {times[-1] - times[0]:.1f} s"
        what = "images" if images else "frames that were read"
        return TooShort(f"{name} has {len(measures)} {what}{seconds}", file=name)
    return _judge_looks(measures, name, images=images) or _judge_motion(measures, name, images=images)


def _judge_looks(measures: Sequence[FrameMeasure], name: str, *, images: bool) -> WeakFootage | None:
    clip = _Clip(measures=measures, name=name, images=images)
    luma = _median(measures, "luma_mean")
    if luma < DARK_LUMA:
        cause = f"median brightness {luma:.0f} of 255, at least {DARK_LUMA:.0f} is needed; too dark"
        return clip.weak(TooDark, cause, lambda m: m.luma_mean < DARK_LUMA)
    texture = _median(measures, "texture")
    if texture < BARE_BELOW:
        cause = f"{texture:.0%} of the corners looked for, {BARE_BELOW:.0%} are needed; bare"
        return clip.weak(NoTexture, cause, lambda m: m.texture < BARE_BELOW)
    focus = float(np.median([_focus(m) for m in measures]))
    if focus < BLURRED_BELOW:
        cause = f"nothing is in focus (detail {focus:.4f}, least {BLURRED_BELOW})"
        return clip.weak(Blurred, cause, lambda m: _focus(m) < BLURRED_BELOW)
    return None


def _focus(measure: FrameMeasure) -> float:
    return measure.sharpness / max(measure.contrast, 1.0) ** 2


def _judge_motion(measures: Sequence[FrameMeasure], name: str, *, images: bool) -> WeakFootage | None:
    clip = _Clip(measures=measures, name=name, images=images)
    still = [m.static_share for m in measures if m.static_share is not None]
    fresh = [m for m in measures if m.difference is None or m.difference >= REPEAT_BELOW]
    if len(fresh) < LEAST_FRAMES:  # hardly one frame differs from the one before it
        fresh = list(measures)
    motion = [m.motion_px for m in fresh if m.motion_px is not None]
    if len(still) >= LEAST_FRAMES and np.median(still) > STILL_ABOVE:
        cause = f"{float(np.median(still)):.0%} of the corners stand still, so the camera does,"
        return clip.weak(StaticCamera, cause, lambda m: (m.static_share or 0.0) > STILL_ABOVE)
    if len(still) >= LEAST_FRAMES and np.percentile(still, 10) > BACKGROUND_STILL_ABOVE:
        share = float(np.percentile(still, 10))
        cause = f"{share:.0%} of the corners never move while others do: something turns before a fixed camera"
        return clip.weak(StaticCamera, cause)
    if len(motion) >= LEAST_FRAMES and np.median(motion) < STANDS_PX:
        return clip.weak(StaticCamera, f"median motion {np.median(motion):.2f} px a frame")
    return _judge_depth(measures, clip)


def _judge_depth(measures: Sequence[FrameMeasure], clip: _Clip) -> WeakFootage | None:
    moving = [m for m in measures if m.rotation_only is not None and (m.motion_px or 0.0) > STANDS_PX]
    turns = float(np.mean([bool(m.rotation_only) for m in moving])) if moving else 0.0
    if len(moving) >= LEAST_FRAMES and turns > TURNS_ABOVE:
        cause = f"in {turns:.0%} of the frames that move the camera turns on the spot,"
        return clip.weak(RotationOnly, cause, lambda m: bool(m.rotation_only))
    rigid = [m.epipolar_share for m in measures if m.epipolar_share is not None]
    if len(rigid) >= LEAST_FRAMES and np.median(rigid) < RIGID_BELOW:
        cause = f"only {float(np.median(rigid)):.0%} of what is seen stands still towards the rest,"
        return clip.weak(MovingObjects, cause, lambda m: _rigid(m) < RIGID_BELOW)
    return None


def _rigid(measure: FrameMeasure) -> float:
    return 1.0 if measure.epipolar_share is None else measure.epipolar_share


def spans(measures: Sequence[FrameMeasure], test: Test, *, images: bool = False) -> str:
    """Say when in a clip ``test`` holds, e.g. "from 0.0 to 2.3 s and from 5.0 to 9.1 s"; of images, how many."""
    if images:
        return f"in {sum(test(m) for m in measures)} of them"
    found = sorted(_runs(measures, test), key=lambda run: run[0] - run[1])
    told = " and ".join(f"from {start:.1f} to {stop:.1f} s" for start, stop in sorted(found[:MOST_SPANS]))
    return told + (f" and {len(found) - MOST_SPANS} times more" if len(found) > MOST_SPANS else "")


def clocks(measures: Sequence[FrameMeasure], test: Test) -> str:
    """Say when in a clip ``test`` holds, longest stretches only, as players show it, e.g. "0:42-0:51, 1:20-1:22"."""
    found = sorted(_runs(measures, test), key=lambda run: run[0] - run[1])[:MOST_SPANS]
    return ", ".join(f"{_clock(start)}-{_clock(stop)}" for start, stop in sorted(found))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _runs(measures: Sequence[FrameMeasure], test: Test) -> Iterator[tuple[float, float]]:
    for holds, run in groupby(measures, key=test):
        times = [m.pts_s for m in run]
        if holds:
            yield times[0], times[-1]


def _median(measures: Sequence[FrameMeasure], column: str) -> float:
    return float(np.median([getattr(m, column) for m in measures]))
