"""Our choice of keyframes against two simple ones, at the same number: registered share and held-out PSNR.

    python benchmarks/selection.py CLIP --detail preview            # all three, into a folder that is removed
    python benchmarks/selection.py CLIP --methods ours,uniform --poses-only

``uniform`` takes frames at equal steps of time, ``sharpest`` the sharpest of equal windows of time. Each choice is
posed by itself, which gives its registered share. PSNR is measured on one reconstruction of the frames of all choices
together, so that no difference of poses hides that of the choices: a training on the frames of each, judged on frames
that none of them took, as many again as a choice has, drawn over time by chance. ``path`` weighs these by how fast the
camera moved: equal steps of the way count the same, however long it lingered.
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
from numpy.typing import NDArray

from resources.images import KeyframeImages
from resources.inbox import list_upload
from resources.media import PyAvReader
from resources.stores import FileStore
from splat_pipeline.assets.stages import GATES_FILE
from splat_pipeline.domain import tables
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.launch import run_job, run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.settings import Settings
from splat_pipeline.splatting.train import evaluate, train

CHOSEN = ["source_videos", "frame_quality", "keyframes"]
POSED = ["features", "match_graph", "linking_frames", "local_reconstructions", "camera_poses"]
METHODS = ("ours", "uniform", "sharpest")


class Comparison:
    """One clip, scored once, whose keyframes are then chosen in several ways."""

    def __init__(self, clip: Path, home: Path, *, detail: str) -> None:
        self.clip, self.detail = clip, Detail(detail)
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
        self.gates = (kept / GATES_FILE).read_bytes()  # of our choice, for all
        ours = tables.read_table(kept / "keyframes.parquet", tables.KEYFRAMES)
        self.ours: list[int] = self.frames.index[self.frames["frame_index"].isin(ours["frame_index"])].tolist()

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

    def evaluated(self) -> list[int]:
        """Return rows somewhere in equal windows of time that no method keeps, each the nearest that is not poor.

        Not in their middle: there each would be equally near to the frames of a uniform choice, the nearest of all.
        """
        taken = {row for method in METHODS for row in self.chosen(method)}
        good = np.array([row for row in np.flatnonzero(self.frames["reject_reason"].isna()) if row not in taken])
        count = min(len(self.ours), len(good))
        places = (np.arange(count) + np.random.default_rng(0).uniform(size=count)) / max(1, count) * len(self.frames)
        return sorted({int(good[np.argmin(np.abs(good - place))]) for place in places})

    def registered(self, method: str) -> dict[str, Any]:
        """Return how many frames of ``method`` the pipeline registers when it is given no others."""
        kept = self.chosen(method)
        self._publish(kept)
        success, reason = run_job(self.settings, self.job, assets=POSED, config={}, listener=lambda _: None)
        if not success:
            return {"method": method, "keyframes": len(kept), "failed": reason}
        count = int(self._table("camera_poses", tables.POSES)["registered"].sum())
        share = round(count / len(kept), 4)
        return {"method": method, "keyframes": len(kept), "registered": count, "registered_share": share}

    def learned(self, methods: Sequence[str]) -> list[dict[str, Any]]:
        """Return the held-out PSNR in dB of a training on each method's frames, posed all together."""
        evaluated = self.evaluated()
        rows = sorted({*evaluated, *(row for method in methods for row in self.chosen(method))})
        self._publish(rows)
        _demand(run_job(self.settings, self.job, assets=[*POSED, "point_cloud"], config={}, listener=lambda _: None))
        plan = plan_for(self.detail, seed=0)
        places = [self.store.fetch(self.job, name).folder for name in ("keyframes", "camera_poses", "point_cloud")]
        views = KeyframeImages().load(*places, longer_side_px=plan.longer_side_px, holdout=False)
        points = tables.read_table(places[2] / "points.parquet", tables.POINTS)
        xyz, rgb = points[["x", "y", "z"]].to_numpy(np.float32), points[["red", "green", "blue"]].to_numpy(np.uint8)
        at = {rows[keyframe_id]: i for i, keyframe_id in enumerate(views.keyframe_ids) if keyframe_id < len(rows)}
        held = views.take([at[row] for row in evaluated if row in at])
        paces = self._paces([row for row in evaluated if row in at])
        found = []
        for method in methods:
            mine: TrainingViews = views.take([at[row] for row in self.chosen(method) if row in at])
            gaussians = train(mine.images, mine.views, xyz, rgb, plan).gaussians
            psnr = np.array([each for each, _ in evaluate(gaussians, held.images, held.views)])
            found.append(
                {
                    "method": method,
                    "trained_on": len(mine.views),
                    "views": len(psnr),
                    "psnr_db": round(float(psnr.mean()), 3),
                    "psnr_path_db": round(float(np.average(psnr, weights=paces)), 3),
                    "psnr_worst_tenth_db": round(float(np.quantile(psnr, 0.1)), 3),
                }
            )
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        return found

    def _paces(self, rows: Sequence[int]) -> NDArray[np.float64]:
        """Return how fast the picture moved around some frames."""
        moved = self.frames["motion_px"].fillna(self.frames["motion_px"].median()).to_numpy(float)
        return np.array([moved[max(0, row - 2) : row + 3].mean() for row in rows])

    def _table(self, asset: str, spec: tables.TableSpec) -> pd.DataFrame:
        return tables.read_table(self.store.fetch(self.job, asset).folder / f"{spec.name}.parquet", spec)

    def _publish(self, rows: Sequence[int]) -> None:
        """Make these frames the job's keyframes."""
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
                    "camera_id": 0, "holdout": False,
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


def main() -> None:
    """Print one line of JSON for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--detail", default="preview", choices=list(Detail))
    parser.add_argument("--poses-only", action="store_true")
    parser.add_argument("--psnr-only", action="store_true")
    options = parser.parse_args()
    methods = options.methods.split(",")
    with tempfile.TemporaryDirectory() as home:
        comparison = Comparison(options.clip, Path(home), detail=options.detail)
        poses = [] if options.psnr_only else [comparison.registered(method) for method in methods]
        learned = [] if options.poses_only else comparison.learned(methods)
    for method in methods:
        both = [row for row in (*poses, *learned) if row["method"] == method]
        print(json.dumps({key: value for row in both for key, value in row.items()}, default=float), flush=True)


if __name__ == "__main__":
    main()
