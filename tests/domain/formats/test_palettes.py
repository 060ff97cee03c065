"""Few values stand for many: near, the same every time, and exact where there are few to begin with."""

from __future__ import annotations

import numpy as np
import pytest

from splat_pipeline.domain.formats.palettes import codebook, palette


def test_no_more_than_256_values_stay_as_they_are() -> None:
    values = np.random.default_rng(0).choice(np.linspace(-3, 3, 200).astype("f4"), (500, 3))
    book, labels = codebook(values)
    np.testing.assert_array_equal(book[labels], values)
    assert labels.shape == (500, 3)


def test_a_codebook_is_better_than_equal_steps_and_rises() -> None:
    values = np.random.default_rng(0).normal(size=50_000).astype("f4") ** 3
    book, labels = codebook(values)
    assert (np.diff(book) >= 0).all()
    steps = (values.max() - values.min()) / 255
    equal = values.min() + np.rint((values - values.min()) / steps) * steps
    assert np.abs(book[labels] - values).mean() < 0.3 * np.abs(equal - values).mean()
    assert np.abs(book[labels] - values).max() <= (values.max() - values.min()) / 126 * 1.0001
    nearest = np.abs(values[:500, None] - book).min(axis=1)
    np.testing.assert_allclose(np.abs(book[labels[:500]] - values[:500]), nearest, atol=1e-6)


def test_nothing_has_a_codebook_of_nothing() -> None:
    book, labels = codebook(np.zeros((0, 3), "f4"))
    assert (book.shape, labels.shape) == ((256,), (0, 3))


@pytest.mark.parametrize("most", [64, 1000])
def test_a_palette_finds_the_groups_that_are_there(most: int) -> None:
    rng = np.random.default_rng(1)
    groups = rng.normal(size=(40, 9)).astype("f4")
    vectors = groups[rng.integers(0, 40, 5000)] + rng.normal(size=(5000, 9), scale=0.01).astype("f4")
    entries, labels = palette(vectors, most)
    assert len(entries) <= most
    assert labels.max() < len(entries)
    assert np.abs(entries[labels] - vectors).mean() < (0.012 if most == 1000 else 0.25)
    again, same = palette(vectors, most)
    np.testing.assert_array_equal(entries, again)
    np.testing.assert_array_equal(labels, same)


def test_few_vectors_are_their_own_palette() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 9)).astype("f4")
    entries, labels = palette(vectors, 64)
    np.testing.assert_array_equal(entries[labels], vectors)


def test_vectors_that_are_all_the_same_need_one_entry() -> None:
    entries, labels = palette(np.ones((3000, 9), "f4"), 1024)
    np.testing.assert_array_equal(entries[labels], np.ones((3000, 9)))
