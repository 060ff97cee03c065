"""Our choice of keyframes against two simple ones, at the same number: registered share and held-out PSNR.

    python benchmarks/selection.py CLIP --detail preview            # all three, into a folder that is removed
    python benchmarks/selection.py CLIP --methods ours,uniform --poses-only

``uniform`` takes frames at equal steps of time, ``sharpest`` the sharpest of equal windows of time. All choices are
judged on the same evaluation frames, spread over the clip by chance and kept away from training; PSNR is over those
that are registered with every choice. Everything after the choice is the pipeline itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resources.inbox import list_upload
from resources.media import PyAvReader
from resources.stores import FileStore
from splat_pipeline.assets.stages import GATES_FILE
from splat_pipeline.domain import tables
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.launch import run_job, run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings

CHOSEN = ["source_videos", "frame_quality", "keyframes"]
POSED = ["features", "match_graph", "linking_frames", "local_reconstructions", "camera_poses"]
TRAINED = ["point_cloud", "training_plan", "splat"]
EVALUATED_EVERY = 3
"""One evaluation frame for so many keyframes."""


class Comparison:
    """One clip, scored once, whose keyframes are then chosen in several ways."""

    def __init__(self, clip: Path, home: Path, *, detail: str) -> None:
        self.clip = clip
        self.settings = Settings(home=home)
        self.upload = list_upload(clip)
        self.job = self.upload.job
        config = {"source_videos": {"config": {"detail": detail}}}
        _demand(run_upload(self.settings, self.upload, config=config, listener=lambda _: None, assets=CHOSEN))
        self.store: FileStore = store_of(self.settings)
        scored = self.store.fetch(self.job, "frame_quality").folder
        self.frames: pd.DataFrame = tables.read_table(scored / "frames.parquet", tables.FRAMES)
        if len(set(self.frames["video_id"])) != 1:
            raise SystemExit("one clip at a time")
        kept = self.store.fetch(self.job, "keyframes").folder
        self.gates = (kept / GATES_FILE).read_bytes()  # of our choice, for all: the plan of the training is the same
        ours = tables.read_table(kept / "keyframes.parquet", tables.KEYFRAMES)
        self.ours: list[int] = self.frames.index[self.frames["frame_index"].isin(ours["frame_index"])].tolist()
        self.evaluated = self._evaluated(max(2, len(self.ours) // EVALUATED_EVERY))

    def _evaluated(self, count: int) -> list[int]:
        """Return rows somewhere in equal windows, each the nearest that is not poor.

        Not in their middle: there each would be equally near to the frames of a uniform choice, the nearest of all.
        """
        good = np.flatnonzero(self.frames["reject_reason"].isna())
        places = (np.arange(count) + np.random.default_rng(0).uniform(size=count)) / count * len(self.frames)
        return sorted({int(good[np.argmin(np.abs(good - place))]) for place in places})

    def chosen(self, method: str) -> list[int]:
        """Return rows of the frames that ``method`` keeps, as many as ours are."""
        count, total = len(self.ours), len(self.frames)
        if method == "ours":
            return self.ours
        if method == "uniform":
            return np.unique(np.linspace(0, total - 1, count).round().astype(int)).tolist()
        edges = np.linspace(0, total, count + 1).round().astype(int)
        sharpness = self.frames["sharpness"].to_numpy()
        windows = [np.arange(a, b) for a, b in pairwise(edges) if b > a]
        return [int(window[np.argmax(sharpness[window])]) for window in windows]

    def judged(self, method: str, *, train: bool) -> dict[str, Any]:
        """Run the pipeline on the frames of ``method`` and return what became of them."""
        kept = self.chosen(method)
        self._publish(sorted({*kept, *self.evaluated}))
        listener, assets = (lambda _: None), POSED + (TRAINED if train else [])
        success, reason = run_job(self.settings, self.job, assets=assets, config={}, listener=listener)
        if not success:
            return {"method": method, "keyframes": len(kept), "failed": reason}
        poses = self._table("camera_poses", tables.POSES).set_index("keyframe_id")["registered"]
        frames = self._table("keyframes", tables.KEYFRAMES).set_index("keyframe_id")["frame_index"]
        registered = set(frames[poses[poses].index])
        mine = set(self.frames["frame_index"].iloc[kept])
        result: dict[str, Any] = {
            "method": method,
            "keyframes": len(kept),
            "registered": len(mine & registered),
            "registered_share": round(len(mine & registered) / len(mine), 4),
        }
        if train:
            heldout = self._table("splat", tables.HELDOUT)
            result["psnr_db"] = dict(zip(frames[heldout["keyframe_id"]], heldout["psnr_db"], strict=True))
        return result

    def _table(self, asset: str, spec: tables.TableSpec) -> pd.DataFrame:
        return tables.read_table(self.store.fetch(self.job, asset).folder / f"{spec.name}.parquet", spec)

    def _publish(self, rows: Sequence[int]) -> None:
        """Make these frames the job's keyframes, those for evaluation held out."""
        made = self.store.fetch(self.job, "keyframes").manifest
        reader = PyAvReader()
        frames = self.frames.iloc[list(rows)]
        refs = [
            FrameRef(name=f"{row.segment_id}/{i:05d}", frame_index=int(row.frame_index), pts_s=float(row.pts_s))
            for i, row in enumerate(frames.itertuples())
        ]
        with self.store.scratch(self.job, "keyframes") as folder:
            for segment in frames["segment_id"].unique():
                (folder / "images" / segment).mkdir(parents=True)
            facts = reader.probe(self.clip)
            written = reader.extract(self.clip, facts, refs, folder / "images", longer_side_px=1280, quality=95)
            table = [
                {
                    "keyframe_id": i, "video_id": row.video_id, "frame_index": row.frame_index, "pts_s": row.pts_s,
                    "segment_id": row.segment_id, "file": f"images/{name}", "width_px": width, "height_px": height,
                    "camera_id": 0, "holdout": row.Index in self.evaluated,
                }
                for i, (row, (name, width, height)) in enumerate(zip(frames.itertuples(), written, strict=True))
            ]  # fmt: skip
            tables.write_table(folder / "keyframes.parquet", tables.KEYFRAMES, table)
            (folder / GATES_FILE).write_bytes(self.gates)
            provenance = {key: made[key] for key in ("inputs", "run_id", "code_version", "seconds", "lineage")}
            self.store.publish(self.job, "keyframes", folder, provenance=provenance)


def _demand(outcome: tuple[bool, Mapping[str, Any] | None]) -> None:
    success, reason = outcome
    if not success:
        raise SystemExit(f"the clip cannot be compared: {reason}")


def over_common(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ``results`` with the mean PSNR over the frames that every one of them has."""
    had = [set(result["psnr_db"]) for result in results if "psnr_db" in result]
    common = sorted(set.intersection(*had)) if had else []
    return [
        result | {"psnr_db": round(float(np.mean([result["psnr_db"][i] for i in common])), 3), "views": len(common)}
        if "psnr_db" in result and common
        else result
        for result in results
    ]


def main() -> None:
    """Print one line of JSON for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--methods", default="ours,uniform,sharpest")
    parser.add_argument("--detail", default="preview", choices=["preview", "reduced", "full"])
    parser.add_argument("--poses-only", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        comparison = Comparison(options.clip, Path(home), detail=options.detail)
        methods = options.methods.split(",")
        results = []
        for name in methods:
            results.append(comparison.judged(name, train=not options.poses_only))
            print(json.dumps(results[-1], default=float), file=sys.stderr, flush=True)
        for result in over_common(results):
            print(json.dumps(result, default=float), flush=True)


if __name__ == "__main__":
    main()
