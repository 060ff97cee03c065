"""Drawings hold what they were given: every frame, every bin, no text of an upload."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from splat_pipeline.domain.charts import colour_of
from splat_pipeline.domain.strips import ClipCover, coverage, histogram

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_each_keyframe_is_a_tick_in_its_colour_at_its_time_and_a_lost_one_a_ring() -> None:
    clip = ClipCover(
        stop_s=10.0,
        rejected_s=np.array([2.0, 3.0]),
        keyframes_s=np.array([0.0, 5.0, 10.0]),
        confidence=np.array([0.0, 1.0, np.nan]),
    )
    root = drawn(coverage(clip))
    ticks = [path for path in root.iter(f"{SVG}path") if "stroke" in path.attrib]
    assert [tick.attrib["stroke"] for tick in ticks] == [colour_of(0.0), colour_of(1.0)]
    assert [float(tick.attrib["d"][1:].split()[0]) for tick in ticks] == [4.0, 260.0]
    [ring] = root.iter(f"{SVG}circle")
    assert float(ring.attrib["cx"]) == 516.0
    [low] = [path for path in root.iter(f"{SVG}path") if path.attrib.get("class") == "rejected"]
    assert low.attrib["d"].count("M") == 2
    assert [text.text for text in root.iter(f"{SVG}text")] == ["0", "10.0 s"]


def test_a_set_of_photos_is_counted_and_not_timed() -> None:
    clip = ClipCover(
        stop_s=18, rejected_s=np.zeros(0), keyframes_s=np.array([3.0]), confidence=np.array([0.5]), seconds=False
    )
    assert "18 pictures" in coverage(clip)


def test_a_histogram_holds_every_finite_value_and_says_its_median() -> None:
    root = drawn(histogram(np.array([1.0, 1.0, 2.0, np.nan, 50.0]), unit=" px"))
    heights = [float(bar.attrib["height"]) for bar in root.iter(f"{SVG}rect")]
    assert len(heights) == 2  # 1 and 2 share a bin of a range that 50 stretches
    assert max(heights) == pytest.approx(3 * min(heights), rel=0.01)
    assert "median 1.5 px" in [text.text for text in root.iter(f"{SVG}text")]
    assert histogram(np.array([np.nan]), unit="") == ""


def test_a_histogram_may_begin_above_zero() -> None:
    root = drawn(histogram(np.array([30.0, 34.0, 34.5]), unit=" dB", low=29.0))
    assert next(root.iter(f"{SVG}text")).text == "median 34 dB"
    assert "29" in [text.text for text in root.iter(f"{SVG}text")]
