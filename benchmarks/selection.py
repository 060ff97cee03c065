"""Our choice of keyframes against two simple ones, at the same number: registered share and held-out PSNR.

    python benchmarks/selection.py CLIP --detail preview            # all three, into a folder that is removed
    python benchmarks/selection.py CLIP --methods ours,uniform --poses-only
    python benchmarks/selection.py CLIP --keyframes 24 --folds 5

``uniform`` takes frames at equal steps of time, ``sharpest`` the sharpest of equal windows of time. Each choice is
posed by itself, which gives its registered share.

PSNR is measured on frames that are drawn before anybody chooses, one of each four in a row, and that nobody may take:
drawn from what is left over they would be the frames that one's rivals did not want, and rather near to one's own. All
that is chosen or drawn is posed in one reconstruction, so that no difference of poses hides that of the choices. Which
single frames a choice takes moves it by 0.2 dB, so this is done several times over, with other frames drawn. ``path``
weighs the views by how fast the camera moved: equal steps of the way count the same, however long it lingered.
``sharp`` is the mean of those that are no less sharp than their neighbours in time: a photograph that is blurred itself
is met best by a model that is blurred, too, and says little of what was learned of the scene.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
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
from splat_pipeline.domain.budget import WANTED, Budget
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.keyframes import select_keyframes
from splat_pipeline.domain.plans import Detail, plan_for
from splat_pipeline.domain.recipe import FrameRecipe
from splat_pipeline.launch import run_job, run_upload
from splat_pipeline.overview import store_of
from splat_pipeline.ports.training import TrainingViews
from splat_pipeline.settings import Settings
from splat_pipeline.splatting.train import evaluate, train

CHOSEN = ["source_videos", "frame_quality", "keyframes"]
POSED = ["features", "match_graph", "linking_frames", "local_reconstructions", "camera_poses"]
METHODS = ("ours", "uniform", "sharpest")
HELD_EVERY = 4
JUDGED = ("trained_on", "views", "psnr_db", "psnr_path_db", "psnr_sharp_db", "psnr_worst_tenth_db")
"""Of a method, on the mean of all folds."""


class Comparison:
    """One clip, scored once, whose keyframes are then chosen in several ways."""

    def __init__(self, clip: Path, home: Path, *, detail: str, keyframes: int | None = None) -> None:
        self.clip, self.detail = clip, Detail(detail)
        self.settings = Settings(home=home)
        self.upload = list_upload(clip)
        self.job = self.upload.job
        asked = {"detail": detail} | ({"recipe": {"frames": {"max_keyframes": keyframes}}} if keyframes else {})
        config = {"source_videos": {"config": asked}}
        _demand(run_upload(self.settings, self.upload, config=config, listener=lambda _: None, assets=CHOSEN))
        self.store: FileStore = store_of(self.settings)
        scored = self.store.fetch(self.job, "frame_quality").folder
        self.frames: pd.DataFrame = tables.read_table(scored / "frames.parquet", tables.FRAMES)
        if len(set(self.frames["video_id"])) != 1:
            raise SystemExit("one clip at a time")
        kept = self.store.fetch(self.job, "keyframes").folder
        self.gates = (kept / GATES_FILE).read_bytes()  # of our choice, for all
        wanted = keyframes or WANTED[detail]
        self.budget = Budget(wanted=wanted, most=wanted)
        facts = PyAvReader().probe(clip)
        self.longer_side_px = float(min(FrameRecipe().analysis_px, max(facts.width_px, facts.height_px)))

    def held(self, fold: int) -> list[int]:
        """Return the rows that nobody may take: one of each ``HELD_EVERY`` in a row, by chance."""
        first = np.arange(0, len(self.frames), HELD_EVERY)
        drawn = first + np.random.default_rng(fold).integers(HELD_EVERY, size=len(first))
        return [int(row) for row in drawn if row < len(self.frames)]

    def chosen(self, method: str, *, without: Sequence[int] = ()) -> list[int]:
        """Return rows of the frames that ``method`` keeps, none of ``without``, as many as ours are."""
        ours = self._ours(without)
        if method == "ours":
            return ours
        free = np.setdiff1d(np.arange(len(self.frames)), np.array(without, dtype=int))
        if method == "uniform":
            return free[np.linspace(0, len(free) - 1, len(ours)).round().astype(int)].tolist()
        edges = np.linspace(0, len(free), len(ours) + 1).round().astype(int)
        sharpness = self.frames["sharpness"].to_numpy()
        windows = [free[a:b] for a, b in pairwise(edges) if b > a]
        return [int(window[np.argmax(sharpness[window])]) for window in windows]

    def _ours(self, without: Sequence[int]) -> list[int]:
        frames = self.frames.copy()
        frames.loc[list(without), "reject_reason"] = "held out"
        sides = {str(self.frames["video_id"].iloc[0]): self.longer_side_px}
        kept = select_keyframes(frames, self.budget, holdout_every=HELD_EVERY, longer_side_px=sides)
        rows = self.frames.index[self.frames["frame_index"].isin([each.frame_index for each in kept])]
        return sorted({int(row) for row in rows} - set(without))

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

    def learned(self, methods: Sequence[str], folds: int) -> list[dict[str, Any]]:
        """Return the held-out PSNR in dB of trainings on each method's frames, posed all together."""
        drawn = [self.held(fold) for fold in range(folds)]
        poor = set(np.flatnonzero(self.frames["reject_reason"].notna()).tolist())
        choices = {(method, i): self.chosen(method, without=held) for method in methods for i, held in enumerate(drawn)}
        views, points, at = self.posed(sorted(set(chain(*drawn, *choices.values()))))
        found = []
        for method in methods:
            judged = []
            for i, held in enumerate(drawn):
                mine = views.take([at[row] for row in choices[method, i] if row in at])
                gaussians = train(mine.images, mine.views, *points, plan_for(self.detail, seed=i)).gaussians
                rows = [row for row in held if row in at and row not in poor]  # a blurred view is best met by blur
                shown = views.take([at[row] for row in rows])
                psnr = np.array([each for each, _ in evaluate(gaussians, shown.images, shown.views)])
                path = np.average(psnr, weights=self._paces(rows))
                sharp = psnr[self.frames["sharpness_rel"].iloc[rows].to_numpy(float) >= 1].mean()
                judged.append((len(mine.views), len(psnr), psnr.mean(), path, sharp, np.quantile(psnr, 0.1)))
            found.append({"method": method} | dict(zip(JUDGED, np.mean(judged, axis=0).round(3).tolist(), strict=True)))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        return found

    def posed(self, rows: Sequence[int]) -> tuple[TrainingViews, tuple[NDArray[Any], NDArray[Any]], dict[int, int]]:
        """Return views of these frames, the points' xyz and rgb, and where in the views each row is, if it is there."""
        self._publish(rows)
        _demand(run_job(self.settings, self.job, assets=[*POSED, "point_cloud"], config={}, listener=lambda _: None))
        places = [self.store.fetch(self.job, name).folder for name in ("keyframes", "camera_poses", "point_cloud")]
        side_px = plan_for(self.detail, seed=0).longer_side_px
        views = KeyframeImages().load(*places, longer_side_px=side_px, holdout=False)
        points = tables.read_table(places[2] / "points.parquet", tables.POINTS)
        xyz, rgb = points[["x", "y", "z"]].to_numpy(np.float32), points[["red", "green", "blue"]].to_numpy(np.uint8)
        at = {rows[keyframe_id]: i for i, keyframe_id in enumerate(views.keyframe_ids) if keyframe_id < len(rows)}
        return views, (xyz, rgb), at

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
    parser.add_argument("--keyframes", type=int, help="how many at most; what the detail has without")
    parser.add_argument("--folds", type=int, default=3, help="how often frames for evaluation are drawn")
    parser.add_argument("--poses-only", action="store_true")
    parser.add_argument("--psnr-only", action="store_true")
    options = parser.parse_args()
    methods = options.methods.split(",")
    with tempfile.TemporaryDirectory() as home:
        comparison = Comparison(options.clip, Path(home), detail=options.detail, keyframes=options.keyframes)
        poses = [] if options.psnr_only else [comparison.registered(method) for method in methods]
        learned = [] if options.poses_only else comparison.learned(methods, options.folds)
    for method in methods:
        both = [row for row in (*poses, *learned) if row["method"] == method]
        print(json.dumps({key: value for row in both for key, value in row.items()}, default=float), flush=True)


if __name__ == "__main__":
    main()
