"""A recipe that remembers which of its parts were read: what a stage did not read cannot have changed its result."""

from __future__ import annotations

from typing import Any

from pydantic import PrivateAttr

from splat_pipeline.domain.recipe import Recipe

PARTS = frozenset(Recipe.model_fields)
"""The keys and sections of a recipe: a section counts as read whole."""


class WatchedRecipe(Recipe):
    """Reads like the recipe that it was made of, and keeps the names of the parts that were asked for in ``read``."""

    _read: set[str] = PrivateAttr(default_factory=set)

    @classmethod
    def of(cls, recipe: Recipe) -> WatchedRecipe:
        """Return a watched copy of which nothing was read yet."""
        return cls.model_construct(**{name: getattr(recipe, name) for name in PARTS})

    def __getattribute__(self, name: str) -> Any:
        """Return a part, or anything else of the model, and remember parts.

        Copies, comparisons and iterations of pydantic go by ``__dict__``.
        """
        if name in PARTS:
            self._read.add(name)
        elif name == "__dict__":
            self._read.update(PARTS)
        return super().__getattribute__(name)

    def model_dump(self, **how: Any) -> dict[str, Any]:
        """Return all parts as plain values; pydantic's own serializer reads past ``__getattribute__``."""
        self._read.update(PARTS)
        return super().model_dump(**how)

    def model_dump_json(self, **how: Any) -> str:
        """Return all parts as JSON."""
        self._read.update(PARTS)
        return super().model_dump_json(**how)

    @property
    def read(self) -> frozenset[str]:
        """What was read so far."""
        return frozenset(self._read)


def values_of(recipe: Recipe, parts: frozenset[str]) -> dict[str, Any]:
    """Return the named parts as plain JSON values, in the order of their names."""
    return Recipe.model_validate(recipe.model_dump()).model_dump(mode="json", include=set(parts))
