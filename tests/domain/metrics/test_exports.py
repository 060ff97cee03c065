"""Files that were read back, and films: whole ones pass, damaged ones fail the gate for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.metrics.exports import Film, box_error, export_metrics, film_metrics
from splat_pipeline.domain.quality import judge_all

WHOLE = {"gaussians": 100, "wanted": 100, "max_error": 0.0, "unread_share": 0.0, "box_error": 0.0}
FILM = Film(codec="h264", fps=30.0, seconds=6.0, luma=[90.0] * 180, change=[2.0] * 179)


def cloud() -> Gaussians:
    rng = np.random.default_rng(0)
    return Gaussians(
        means=rng.normal(size=(100, 3)).astype(np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (100, 1)),
        log_scales=np.full((100, 3), -3, np.float32),
        logit_opacities=np.zeros(100, np.float32),
        sh=np.zeros((100, 1, 3), np.float32),
    )


def failed(metrics) -> set[str]:
    return {v.gate for v in judge_all(metrics) if not v.passed}


@pytest.mark.parametrize(
    ("change", "gates"),
    [
        ({}, set()),
        ({"gaussians": 99, "max_error": float("inf")}, {"all_written", "reads_back"}),
        ({"unread_share": 0.01}, {"all_finite"}),
        ({"max_error": 0.5}, {"reads_back"}),
        ({"box_error": 0.1}, {"same_box"}),
    ],
)
def test_the_format_that_fared_worst_is_judged(change, gates: set[str]):
    assert failed(export_metrics(cloud(), [WHOLE, WHOLE | change])) == gates


def test_the_box_of_what_is_missing_is_another():
    means = cloud().means
    assert box_error(means, means) == 0.0
    assert box_error(means, means[:0]) == float("inf")
    assert box_error(means[:0], means[:0]) == 0.0
    assert box_error(means, 2 * means) > 0.1


@pytest.mark.parametrize(
    ("change", "gates"),
    [
        ({}, set()),
        ({"seconds": 3.0}, {"film_lasts"}),
        ({"codec": "mpeg4"}, {"film_plays"}),
        ({"fps": 25.0}, {"film_in_time"}),
        ({"luma": [1.0] * 180}, {"film_not_black"}),
        ({"change": [0.0] * 179}, {"film_not_constant"}),
    ],
)
def test_a_film_that_is_wrong_in_one_way_fails_the_gate_for_it(change, gates: set[str]):
    assert failed(film_metrics(replace(FILM, **change), seconds=6.0, fps=30)) == gates


def test_no_film_fails_one_gate_and_the_others_do_not_apply():
    assert failed(film_metrics(None, seconds=6.0, fps=30)) == {"film_made"}
