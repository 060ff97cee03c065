"""Overrides are merged deeply, checked strictly, and named when wrong."""

from __future__ import annotations

import pytest

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import Recipe


def test_an_override_changes_its_key_and_nothing_else():
    changed = Recipe().overridden({"frames": {"max_keyframes": 20}}, source="job.yaml")
    assert changed.frames.max_keyframes == 20
    assert changed.model_copy(update={"frames": Recipe().frames}) == Recipe()


def test_none_means_not_overridden():
    assert Recipe().overridden({"detail": None, "seed": None}, source="launchpad") == Recipe()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"detial": "full"}, "detial"),
        ({"frames": {"max_keyframes": 2}}, r"frames\.max_keyframes"),
        ({"frames": {"colour": 2}}, r"frames\.colour"),
        ({"detail": "huge"}, "detail"),
        ({"seed": "x"}, "seed"),
        ({"training": {"strategy": "best"}}, r"training\.strategy"),
        ({"training": {"background": "#12"}}, r"training\.background"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(changes: dict[str, object], named: str):
    with pytest.raises(BadJobFile, match=rf"job\.yaml: {named}"):
        Recipe().overridden(changes, source="job.yaml")


def test_a_recipe_survives_json():
    recipe = Recipe().overridden({"detail": "preview", "preview": {"seconds": 2}}, source="x")
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_draft_and_final_is_short_for_the_passes_and_keeps_the_layout():
    base = Recipe().overridden({"delivery": {"layout": "splatter-server"}}, source="settings")
    asked = base.overridden({"delivery": "draft+final"}, source="job.yaml").delivery
    assert (asked.passes, asked.layout) == ("draft+final", "splatter-server")
    with pytest.raises(BadJobFile, match=r"delivery\.passes"):
        Recipe().overridden({"delivery": "twice"}, source="job.yaml")
