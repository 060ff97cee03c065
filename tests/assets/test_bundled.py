"""Footage prepared elsewhere makes the artifacts that its clips would make, and is not believed blindly."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from bench import ASSETS, Bench, failure_of

from splat_pipeline.domain.bundles import STAGES
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.tables import KEYFRAMES, read_table, write_table
from splat_pipeline.prepare import written


@pytest.fixture
def prepared(tmp_path: Path, film, walk) -> tuple[Bench, Path]:
    """Give the stages as they ran where the footage is, and the bundle of them."""
    footage = tmp_path / "footage"
    footage.mkdir()
    film(footage / "a.mp4", walk(30))
    there = Bench(tmp_path / "there", footage)
    assert there.run().success
    bundle = tmp_path / "bundle"
    figures = written(there.store, there.upload, bundle, STAGES)
    assert figures["source_bytes"] == (footage / "a.mp4").stat().st_size
    assert figures["bundle_bytes"] == sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    return there, bundle


def digests(bench: Bench) -> dict[str, str]:
    return {stage: bench.store.fetch(bench.upload.job, stage).digest for stage in STAGES}


def test_a_bundle_makes_the_artifacts_that_its_clips_make(prepared: tuple[Bench, Path], tmp_path: Path) -> None:
    there, bundle = prepared
    here = Bench(tmp_path / "here", bundle)
    assert here.run().success
    assert digests(here) == digests(there)


def test_the_receivers_own_settings_hold_but_for_those_of_frames(prepared: tuple[Bench, Path], tmp_path: Path) -> None:
    _, bundle = prepared
    (bundle / "job.yaml").write_text("detail: preview\nframes: {holdout_every: 3}\n")
    here = Bench(tmp_path / "here", bundle)
    assert here.run(recipe=Recipe().overridden({"seed": 7}, source="test")).success
    recipe = here.manifest()["recipe"]
    assert (recipe["detail"], recipe["seed"], recipe["frames"]["holdout_every"]) == ("preview", 7, 8)


def spoil_picture(bundle: Path) -> None:
    path = next((bundle / "keyframes" / "images").rglob("*.jpg"))
    path.write_bytes(path.read_bytes()[:-3] + b"abc")


def claim_another_size(bundle: Path) -> None:
    path = bundle / "keyframes" / "keyframes.parquet"
    write_table(path, KEYFRAMES, read_table(path, KEYFRAMES).assign(width_px=999))
    retold(bundle)


def retold(bundle: Path) -> None:
    """Make ``bundle.json`` say what is there now."""
    told = json.loads((bundle / "bundle.json").read_text())
    for stage, rows in told["stages"].items():
        for row in rows:
            content = (bundle / stage / row[0]).read_bytes()
            row[1:] = [len(content), hashlib.sha256(content).hexdigest()]
    (bundle / "bundle.json").write_text(json.dumps(told))


def no_table(bundle: Path) -> None:
    (bundle / "frame_quality" / "frames.parquet").write_bytes(b"PAR1 no table PAR1")
    retold(bundle)


def leave(bundle: Path) -> None:
    told = json.loads((bundle / "bundle.json").read_text())
    told["stages"]["source_videos"][0][0] = "../../../etc/passwd"
    (bundle / "bundle.json").write_text(json.dumps(told))


def bring_a_manifest(bundle: Path) -> None:
    told = json.loads((bundle / "bundle.json").read_text())
    told["stages"]["frame_quality"].append(["artifact.json", 2, ""])
    (bundle / "frame_quality" / "artifact.json").write_text("{}")
    (bundle / "bundle.json").write_text(json.dumps(told))
    retold(bundle)


@pytest.mark.parametrize(
    ("spoil", "step", "error"),
    [
        (spoil_picture, "keyframes", "BadBundle"),
        (claim_another_size, "keyframes", "BadBundle"),
        (no_table, "frame_quality", "BadBundle"),
        (leave, "source_videos", "UnsafeUpload"),
        (bring_a_manifest, "source_videos", "BadBundle"),
        (lambda bundle: (bundle / "bundle.json").write_text("{}"), "source_videos", "BadBundle"),
        (lambda bundle: (bundle / "bundle.json").write_text("[" * 9999), "source_videos", "BadBundle"),
        (lambda bundle: shutil.rmtree(bundle / "frame_quality"), "frame_quality", "InputError"),
    ],
)
def test_a_bundle_that_is_not_what_it_was_is_refused(
    spoil, step: str, error: str, prepared: tuple[Bench, Path], tmp_path: Path
) -> None:
    _, bundle = prepared
    spoil(bundle)
    here = Bench(tmp_path / "here", bundle)
    failed, shown = failure_of(here.run())
    assert (failed, shown["class"]) == (step, error)
    assert shown["remedy"]


def test_the_stages_are_those_of_the_graph() -> None:
    assert tuple(asset.key.to_user_string() for asset in ASSETS) == STAGES
