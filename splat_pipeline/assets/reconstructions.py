"""Features of the keyframes, and one reconstruction a window: the fan-out of the graph."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg
import pandas as pd

from splat_pipeline.assets.bundled import bundle_of, take
from splat_pipeline.assets.failures import RETRIES, classified
from splat_pipeline.assets.footage import IMAGES, PAIRS_FILE, names_of
from splat_pipeline.assets.known import known_cameras
from splat_pipeline.assets.partitions import GROUP, jobs
from splat_pipeline.assets.posed import source_of, windows_of
from splat_pipeline.assets.records import correction_row
from splat_pipeline.assets.rescue import climb
from splat_pipeline.assets.second_look import Gathered, look_again
from splat_pipeline.assets.stages import (
    Machines,
    Readers,
    Sfm,
    Sources,
    Stores,
    Work,
    job_asset,
    recipe_of,
    reuse_asked,
    stage,
    taken_over,
)
from splat_pipeline.domain.blame import no_model
from splat_pipeline.domain.errors import ArtifactError, MissingWindow
from splat_pipeline.domain.matches import FLAT, MatchedPair, read_pairs, write_pairs
from splat_pipeline.domain.tables import ATTEMPTS, CORRECTIONS, KEYFRAMES, WINDOWS, read_rows, read_table, write_table
from splat_pipeline.domain.windows import Window, complete, settle, window_row
from splat_pipeline.ports.machine import Machine
from splat_pipeline.ports.sfm import FeatureRequest, MatchRequest
from splat_pipeline.ports.stores import Artifact, Store

REPEATS_TAG = "dagster/parent_run_id"
"""Of a run that Dagster, or a person in its UI, started to repeat another one."""
GATHERED = "local_reconstructions"
JSON = "json_io"
"""Carries the small values between the ops: which windows, and what became of them."""


@job_asset(deps=["keyframes"], kinds={"colmap"}, pool="sfm")
def features(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, reader: Readers, sfm: Sfm
) -> dg.MaterializeResult[Any]:
    """SIFT features of every keyframe, compressed, one file a segment."""
    with stage(context, store, machine) as work:
        keyframes = _keyframes(work)
        bundle = bundle_of(work)
        if bundle is not None and work.asset in bundle.stages:
            take(work, bundle, reader)
            work.publish(metadata={"keyframes": len(keyframes), "bundle": bundle.title})
            return work.result()
        request = FeatureRequest(
            folder=work.input("keyframes") / IMAGES,
            images=names_of(keyframes),
            camera_ids=keyframes["camera_id"].tolist(),
            recipe=work.recipe.poses,
            seed=work.recipe.seed,
        )
        sfm.extract_features(request, work.folder / "features", say=work.log)
        work.publish(metadata={"keyframes": len(keyframes), "segments": int(keyframes["segment_id"].nunique())})
    return work.result()


@job_asset(deps=["keyframes", "features"], kinds={"colmap"}, pool="sfm")
def match_graph(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, sfm: Sfm
) -> dg.MaterializeResult[Any]:
    """Matches between keyframes, verified: neighbours in time and views that look alike. Made once, for all windows."""
    with stage(context, store, machine) as work:
        keyframes = _keyframes(work)
        if source_of(work.input("source_videos"), work.recipe.poses) is not None:
            write_pairs(work.folder / PAIRS_FILE, [])
            work.publish(metadata=_matched([]) | {"skipped": "poses are given: what they leave is matched with them"})
            return work.result()
        request = MatchRequest(
            images=names_of(keyframes),
            camera_ids=keyframes["camera_id"].tolist(),
            features=work.input("features") / "features",
            recipe=work.recipe.poses,
            seed=work.recipe.seed,
            **known_cameras(work, keyframes),
        )
        sfm.match(request, work.folder / PAIRS_FILE, say=work.log)
        work.publish(metadata=_matched(read_pairs(work.folder / PAIRS_FILE)))
    return work.result()


def _matched(pairs: Iterable[MatchedPair]) -> dict[str, int]:
    counts = {"pairs": 0, "verified": 0, "far": 0, "far_verified": 0, "flat": 0}
    for pair in pairs:
        found = pair.inliers > 0
        counts["pairs"] += 1
        counts["verified"] += found
        counts["far"] += pair.far
        counts["far_verified"] += pair.far and found
        counts["flat"] += pair.config in FLAT
    return counts


@dg.op(ins={"linking_frames": dg.In(dg.Nothing)}, out=dg.DynamicOut(io_manager_key=JSON), retry_policy=RETRIES)
@classified
def plan(context: dg.OpExecutionContext, store: Stores) -> list[dg.DynamicOutput[dict[str, Any]]]:
    """Decide which keyframes are reconstructed together."""
    keyframes, source = (store.fetch(context.partition_key, name) for name in ("keyframes", "source_videos"))
    rows = read_table(keyframes.folder / "keyframes.parquet", KEYFRAMES)
    windows = windows_of(rows, source.folder, recipe_of(source).poses)
    return [dg.DynamicOutput(asdict(window), mapping_key=window.name) for window in windows]


@dg.op(out=dg.Out(io_manager_key=JSON), pool="sfm", retry_policy=RETRIES)
@classified
def reconstruct(  # noqa: PLR0917  # Dagster passes them by name
    context: dg.OpExecutionContext, store: Stores, machine: Machines, sfm: Sfm, sources: Sources, window: dict[str, Any]
) -> dict[str, Any]:
    """Reconstruct one window: attempt after attempt until one is good enough; the best is kept."""
    this = Window(**window)
    earlier = _earlier(context, store, machine, this)
    if earlier is not None:
        return {"window_id": this.window_id, "digest": earlier.digest}
    with stage(context, store, machine, name=this.name) as work:
        tries = work.folder / "tries"
        best, rows = settle(climb(work, this, sfm, sources, tries))
        if best is not None:
            (tries / str(best)).rename(work.folder / "model")
        shutil.rmtree(tries)
        write_table(work.folder / "attempts.parquet", ATTEMPTS, rows)
        write_table(work.folder / "windows.parquet", WINDOWS, [window_row(this, rows, best)])
        work.publish(metadata={})
    assert work.published is not None
    return {"window_id": this.window_id, "digest": work.published.digest}


def _earlier(context: dg.OpExecutionContext, store: Store, machine: Machine, window: Window) -> Artifact | None:
    """Return the window as an earlier run or try made it, where all that it rests on still holds.

    Only where the run asks for that, or Dagster repeats work that failed: to materialize anew is to compute anew.
    """
    if context.retry_number == 0 and REPEATS_TAG not in context.run.tags and not reuse_asked(context):
        return None
    try:
        row = read_table(store.fetch(context.partition_key, window.name).folder / "windows.parquet", WINDOWS).iloc[0]
    except ArtifactError as error:
        context.log.info(f"{window.name} is computed: {error}")
        return None
    if (row["first"], row["stop"]) != (window.first, window.stop):
        return None
    work = taken_over(context, store, machine, name=window.name)
    return None if work is None else work.published


@dg.op(out=dg.Out(io_manager_key=JSON), pool="sfm", retry_policy=RETRIES)
@classified
def gather(
    context: dg.OpExecutionContext, store: Stores, machine: Machines, sfm: Sfm, done: list[dict[str, Any]]
) -> dg.Output[dict[str, Any]]:
    """Bring the windows together, and redo those that the others cast doubt on.

    After a crash windows were seen to be missing here: each planned one is asked for.
    """
    earlier = taken_over(context, store, machine, name=GATHERED) if reuse_asked(context) else None
    if earlier is not None:
        return _gathered_output(earlier, len(done))
    with stage(context, store, machine, name=GATHERED) as work:
        planned = windows_of(_keyframes(work), work.input("source_videos"), work.recipe.poses)
        complete(planned, [row["window_id"] for row in done])
        digests = {row["window_id"]: row["digest"] for row in done}
        gathered = _gathered(work, planned, digests)
        if not any(row["registered"] for row in gathered.windows.values()):
            raise no_model([row for rows in gathered.attempts.values() for row in rows])
        look_again(work, sfm, gathered)
        windows = pd.DataFrame(list(gathered.windows.values()))
        write_table(work.folder / "windows.parquet", WINDOWS, windows)
        attempts = [row for rows in gathered.attempts.values() for row in rows]
        write_table(work.folder / "attempts.parquet", ATTEMPTS, attempts)
        work.publish(metadata=_summary(windows))
        about = {"job": work.job, "run_id": work.run_id, "utc": machine.utc()}
        store.append(CORRECTIONS, [correction_row(about, row) for row in gathered.windows.values()])
    return _gathered_output(work, len(planned))


def _gathered_output(work: Work, windows: int) -> dg.Output[dict[str, Any]]:
    assert work.published is not None
    with warnings.catch_warnings():
        # Without a data version every run would make everything downstream stale; on Output the argument is "beta".
        warnings.simplefilter("ignore", dg.BetaWarning)
        version = dg.DataVersion(work.published.digest)
        return dg.Output({"windows": windows}, metadata=work.shown(), data_version=version)


@dg.graph_asset(
    ins={"linking_frames": dg.AssetIn(dagster_type=dg.Nothing)}, partitions_def=jobs, group_name=GROUP, kinds={"colmap"}
)
def local_reconstructions(linking_frames: Any) -> Any:
    """Structure from motion, one step a window; the largest sane submodel of the best attempt is kept."""
    return gather(plan(linking_frames).map(reconstruct).collect())


def _keyframes(work: Work) -> pd.DataFrame:
    return read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)


def _gathered(work: Work, planned: list[Window], digests: Mapping[int, str]) -> Gathered:
    """Copy each window in."""
    found = Gathered(folder=work.folder / "windows", planned=planned, windows={}, attempts={})
    for window in planned:
        folder = work.input(window.name)
        if work.inputs[window.name].digest != digests[window.window_id]:
            raise MissingWindow(f"{window.name} is not the one that this run made")
        (found.windows[window.window_id],) = read_rows(folder / "windows.parquet", WINDOWS)
        found.attempts[window.window_id] = read_rows(folder / "attempts.parquet", ATTEMPTS)
        if (folder / "model").is_dir():
            shutil.copytree(folder / "model", found.folder / window.name)
    return found


def _summary(windows: pd.DataFrame) -> dict[str, Any]:
    head = "| window | images | registered | rms px | strategy | attempts |\n|---|---|---|---|---|---|\n"
    lines = [
        f"| {row['window_id']} | {row['stop'] - row['first']} | {row['registered']} | {row['rms_px']:.2f} "
        f"| {row['strategy']} | {row['attempts']} |"
        for row in windows.to_dict("records")
    ]
    return {
        "windows": len(windows),
        "registered": int(windows["registered"].sum()),
        "attempts": int(windows["attempts"].sum()),
        "table": dg.MetadataValue.md(head + "\n".join(lines)),
    }
