"""A job file is a mapping and nothing else, however it is meant."""

from __future__ import annotations

import pytest

from splat_pipeline.assets.jobfile import read_job_file
from splat_pipeline.domain.errors import BadJobFile


def test_a_job_file_is_a_mapping() -> None:
    assert read_job_file("detail: preview\nframes:\n  max_keyframes: 40\n") == {
        "detail": "preview",
        "frames": {"max_keyframes": 40},
    }
    assert read_job_file("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: [*x, *x]", "alias"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("- a", "keys and values"),
        ("a: [", "not YAML"),
        ("[" * 50_000, "nested"),
        ("a: " + "x" * 70_000, "larger"),
        ("d: 2025-99-99", "not YAML"),
    ],
)
def test_a_job_file_cannot_do_harm(text: str, said: str) -> None:
    with pytest.raises(BadJobFile, match=said):
        read_job_file(text)
