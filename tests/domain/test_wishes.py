"""What a job file asks of the intake is taken out of it and held to its bounds."""

from __future__ import annotations

import pytest

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.intake import Known, duplicate, outcome, tags_of
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.domain.wishes import Wishes, split


def test_wishes_are_told_apart_from_the_recipe():
    wishes, rest = split({"product": "premium", "priority": 5, "force": True, "detail": "full"}, file="job.yaml")
    assert wishes == Wishes(product="premium", priority=5, force=True)
    assert rest == {"detail": "full"}
    assert split({"priority": None}, file="job.yaml") == (Wishes(), {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("product", ""),
        ("product", "../x"),
        ("product", "x" * 41),
        ("product", 3),
        ("product", "a\n"),
        ("priority", 101),
        ("priority", "high"),
        ("priority", True),
        ("priority", 1.5),
        ("force", 1),
        ("force", "yes"),
    ],
)
def test_a_wish_out_of_bounds_is_named(key: str, value: object):
    with pytest.raises(BadJobFile, match=rf"job\.yaml: {key}: must be"):
        split({key: value}, file="job.yaml")


def test_a_run_knows_its_upload_and_what_is_told_names_the_run():
    upload = Upload(
        job="a-00000000", title="A <b>", location="/x", files=(), entry="A", stamp="s", wishes=Wishes(priority=-3)
    )
    assert tags_of(upload) == {
        "splat/title": "A <b>",
        "splat/upload": "A",
        "splat/stamp": "s",
        "splat/product": "standard",
        "dagster/priority": "-3",
    }
    told = duplicate(upload, Known(run_id="r1", status="SUCCESS", upload="B"), utc="2026-01-01T00:00:00Z")
    assert (told["job"], told["run_id"], told["key"]) == ("a-00000000", "r1", "r1 again s")
    assert "class" not in told
    ended = outcome("r2", tags_of(upload), job="a-00000000", utc="2026-01-01T00:00:00Z", link="http://x/runs/r2")
    assert (ended["key"], ended["run"], ended["title"]) == ("r2", "http://x/runs/r2", "A <b>")
    assert Upload.from_json(upload.to_json()) == upload
