"""Whatever is read of a recipe is remembered, and nothing else."""

from __future__ import annotations

import copy
import json

import pytest

from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.watched import PARTS, WatchedRecipe, values_of

RECIPE = Recipe().overridden({"seed": 4, "frames": {"max_keyframes": 12}}, source="test")


def test_parts_that_are_read_are_remembered_and_have_their_values():
    watched = WatchedRecipe.of(RECIPE)
    assert watched.read == frozenset()
    assert (watched.seed, watched.frames.max_keyframes) == (4, 12)
    assert watched.read == {"seed", "frames"}


@pytest.mark.parametrize(
    "whole",
    [
        lambda recipe: recipe.model_dump(),
        lambda recipe: recipe.model_dump_json(),
        lambda recipe: recipe.model_copy(),
        copy.copy,
        copy.deepcopy,
        dict,
        lambda recipe: recipe.overridden({"seed": 1}, source="test"),
        lambda recipe: recipe == WatchedRecipe.of(RECIPE),
        repr,
    ],
)
def test_to_take_it_whole_is_to_read_all_of_it(whole):
    watched = WatchedRecipe.of(RECIPE)
    whole(watched)
    assert watched.read == PARTS


def test_values_are_plain_and_only_of_the_parts_asked_for():
    values = values_of(RECIPE, frozenset({"seed", "exports"}))
    assert set(values) == {"seed", "exports"}
    assert values["seed"] == 4
    assert values["exports"] == json.loads(RECIPE.exports.model_dump_json())
    assert values["exports"]["formats"] == ["ply", "splat", "spz", "compressed_ply"]
