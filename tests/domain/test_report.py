"""What a person is told: words that follow the figures, drawings that hold only numbers."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from splat_pipeline.domain.charts import colour_of, curve, plan_view, scale_bar
from splat_pipeline.domain.formats.files import FORMATS
from splat_pipeline.domain.quality import judge
from splat_pipeline.domain.report import Summary, called, data_type_of, in_order, verdict_of

SVG = "{http://www.w3.org/2000/svg}"


def summary(**changes: object) -> Summary:
    figures = {
        "title": "garden", "detail": "full", "reasons": (), "attempts": (), "gates": (judge("learned", 29.0),),
        "registered": 40, "keyframes": 40, "rms_px": 0.7, "psnr_heldout_db": 29.0, "ssim_heldout": 0.9, "gaussians": 9,
    }  # fmt: skip
    return Summary(**{**figures, **changes})


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({}, "good", "matched very closely"),
        ({"psnr_heldout_db": 25.0}, "good", "matched closely"),
        ({"psnr_heldout_db": 22.0}, "fair", "if softly"),
        ({"psnr_heldout_db": 15.0}, "poor", "only roughly"),
        ({"psnr_heldout_db": None}, "fair", "not measured"),
        ({"gates": (judge("registered_well", 0.7),)}, "fair", "All 40 chosen frames"),
        ({"registered": 31}, "good", "31 of 40 chosen frames"),
        ({"detail": "preview"}, "good", "whether the capture works"),
        ({"detail": "preview", "draft": True}, "good", "the splat at full detail follows"),
        ({"detail": "reduced"}, "good", "would draw the same frames finer"),
    ],
)
def test_the_verdict_follows_the_figures(changes: dict[str, object], tone: str, words: str) -> None:
    got, headline, sentence = verdict_of(summary(**changes))
    assert got == tone
    assert words in sentence
    assert headline


def test_only_a_splat_at_full_detail_and_with_good_figures_is_called_trusted() -> None:
    said = {
        (detail, psnr_db): verdict_of(summary(detail=detail, psnr_heldout_db=psnr_db))[1]
        for detail in ("full", "reduced", "preview")
        for psnr_db in (30.0, 22.0, 15.0, None)
    }
    assert [case for case, headline in said.items() if "trusted" in headline] == [("full", 30.0)]
    assert "preview detail" in said["preview", 30.0]
    assert "reduced detail" in said["reduced", 30.0]
    assert "first look" in said["preview", 22.0]


def test_a_failed_gate_or_a_note_is_a_warning_and_changes_the_status() -> None:
    assert summary().status == "delivered"
    assert summary(notes=("no preview: x",)).status == "delivered_with_warnings"
    assert summary(gates=(judge("reprojection_well", float("nan")),)).status == "delivered_with_warnings"


def test_photos_without_a_folder_are_not_called_by_a_dot() -> None:
    assert (called("."), called("clip.mp4")) == ("the photos", "clip.mp4")


def test_every_export_is_splat_data_and_points_are_not() -> None:
    assert all(data_type_of(f"model-1{kind.suffix}") == "splat_data" for kind in FORMATS.values())
    assert data_type_of("points.ply") == "splat_point_cloud"
    assert data_type_of("unheard-of.xyz") == "splat_other"


def test_times_stand_in_the_order_of_the_graph() -> None:
    assert in_order({"splat": 3, "zzz": 1, "keyframes": 2, "features": None}) == [
        ("keyframes", 2.0), ("splat", 3.0), ("zzz", 1.0),
    ]  # fmt: skip


def test_the_windows_of_the_fan_out_are_one_stage() -> None:
    taken = {"window_0000": 20.0, "window_0001": 22.0, "local_reconstructions": 0.5, "features": 1.0}
    assert in_order(taken) == [("features", 1.0), ("local_reconstructions", 42.5)]
    assert in_order(taken, together=max) == [("features", 1.0), ("local_reconstructions", 22.0)]


finite = st.floats(-100, 100, allow_nan=False)


@given(
    arrays(float, st.tuples(st.integers(1, 8), st.just(3)), elements=finite),
    arrays(float, st.tuples(st.integers(0, 30), st.just(3)), elements=finite),
)
def test_a_plan_draws_every_camera_inside_its_frame(centers: np.ndarray, points: np.ndarray) -> None:
    axes = np.tile([0.0, 0.0, 1.0], (len(centers), 1))
    drawing = ET.fromstring(_named(plan_view(centers, axes, np.full(len(centers), np.nan), points)))
    circles = drawing.findall(f"{SVG}circle")
    assert len(circles) == len(centers)
    for circle in circles:
        assert 0 <= float(circle.get("cx")) <= 520
        assert 0 <= float(circle.get("cy")) <= 360


def test_a_plan_has_plus_z_above_and_plus_x_to_the_right() -> None:
    centers = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]], float)
    drawing = ET.fromstring(_named(plan_view(centers, centers, np.ones(3), np.zeros((0, 3)))))
    at = [(float(c.get("cx")), float(c.get("cy"))) for c in drawing.findall(f"{SVG}circle")]
    assert at[1][0] > at[0][0]
    assert at[2][1] < at[0][1]


def test_one_camera_that_is_far_off_and_unsure_does_not_shrink_the_others_to_a_dot() -> None:
    turn = np.linspace(0, 6, 30)
    centers = np.stack([np.sin(turn), np.zeros(30), np.cos(turn)], axis=1)
    centers[7] = [0, 0, 60]
    sure = np.ones(30)
    spans = {}
    for name, confidence in (("sure", 1.0), ("unsure", 0.1)):
        sure[7] = confidence
        svg = plan_view(centers, centers, sure, np.zeros((0, 3)))
        circles = ET.fromstring(_named(svg)).findall(f"{SVG}circle")
        spans[name] = np.ptp([float(c.get("cy")) for i, c in enumerate(circles) if i != 7])
        assert (circles[7].get("class") == "stray") is (name == "unsure")
        assert svg.count("stray") == (name == "unsure")
        assert float(circles[7].get("cy")) < 40
    assert spans["sure"] < 20
    assert spans["unsure"] > 250


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=30))
def test_a_curve_of_anything_is_well_formed_or_nothing(values: list[float]) -> None:
    drawn = curve(range(len(values)), values, x_name="iterations", y_name="loss")
    assert not drawn or "nan" not in ET.tostring(ET.fromstring(_named(drawn))).decode()


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (38.3, ["0", "10", "20", "30", "40"]),
        (0.231, ["0", "0.05", "0.1", "0.15", "0.2", "0.25"]),
        (50_000, ["0", "10k", "20k", "30k", "40k", "50k"]),
    ],
)
def test_the_lines_behind_a_curve_stand_at_round_numbers_that_hold_it(most: float, ticks: list[str]) -> None:
    drawing = ET.fromstring(_named(curve([0, 1], [0, most], x_name="iterations", y_name="loss")))
    at = {text.text: float(text.get("y")) - 4 for text in drawing.findall(f"{SVG}text") if text.get("x") == "48"}
    assert list(at) == ticks
    top = min(float(point.partition(",")[2]) for point in drawing.find(f"{SVG}polyline").get("points").split())
    assert at[ticks[-1]] <= top <= at[ticks[-2]]


def test_colours_go_from_rust_to_teal_and_what_is_unknown_is_unsure() -> None:
    assert (colour_of(0), colour_of(1), colour_of(float("nan"))) == ("#c2410c", "#0d9488", "#c2410c")
    assert ET.fromstring(_named(scale_bar())).findall(f"{SVG}rect")


def _named(svg: str) -> str:
    """Inline SVG needs no name space in HTML; an XML parser wants one."""
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
