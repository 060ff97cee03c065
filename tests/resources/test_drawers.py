"""Who draws the preview: what is there by itself, what is asked for by name, and what is said where it is not there."""

from __future__ import annotations

from typing import Any

import pytest

from resources.drawers import GsplatFilm, InstalledDrawers
from splat_pipeline.domain.errors import ToolMissing


class Drawer:
    def __init__(self, name: str, reason: str | None = None) -> None:
        self.name, self.reason = name, reason

    def unavailable(self) -> str | None:
        return self.reason

    def frames(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is drawn here")


def test_a_renderer_on_a_gpu_draws_by_itself_and_ours_where_there_is_none() -> None:
    fast, slow = Drawer("gsplat"), Drawer("nerfstudio")
    assert InstalledDrawers(automatic=[fast], asked=[slow]).chosen("auto") is fast
    assert InstalledDrawers(automatic=[Drawer("gsplat", "no GPU")], asked=[slow]).chosen("auto") is None
    assert InstalledDrawers(automatic=[fast], asked=[slow]).chosen("own") is None


def test_what_is_asked_for_by_name_draws_or_is_said_to_be_missing() -> None:
    slow = Drawer("nerfstudio")
    drawers = InstalledDrawers(automatic=[Drawer("gsplat", "no GPU, or no driver for it")], asked=[slow])
    assert drawers.chosen("nerfstudio") is slow
    with pytest.raises(ToolMissing, match="cannot be drawn by gsplat: no GPU, or no driver"):
        drawers.chosen("gsplat")


def test_all_are_listed_with_what_stands_in_their_way() -> None:
    rows = {row["name"]: row for row in InstalledDrawers().listed()}
    assert list(rows) == ["own", "gsplat", "nerfstudio"]
    assert rows["own"]["available"]
    assert rows["gsplat"]["reason"] == GsplatFilm().unavailable()
