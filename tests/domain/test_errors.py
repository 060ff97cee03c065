"""The tree of errors is drawn, and every class tells a remedy."""

from __future__ import annotations

import inspect
import re

import pytest

from splat_pipeline.domain import errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.SplatError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_drawn_in_the_tree_and_says_what_to_do(kind: type[errors.SplatError]):
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")
    assert kind.remedy.endswith(".")
    assert kind.retry in ("never", "same", "changed")


def test_only_faults_of_the_machine_are_retried_unchanged():
    stores = {"StoreUnavailable", "DatabaseUnavailable"}
    transient = {"ResourceError", "DiskFull", "ProcessKilled", "WebhookFailed", "DriverLost", *stores}
    assert {c.__name__ for c in CLASSES if c.retry == "same"} == transient


def test_an_error_tells_class_file_cause_and_remedy():
    shown = errors.TooDark("median luma 3 of 255", file="a.mp4").to_json()
    assert shown == {
        "class": "TooDark",
        "file": "a.mp4",
        "cause": "median luma 3 of 255",
        "remedy": errors.TooDark.remedy,
    }
