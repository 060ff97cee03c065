"""Windows that their neighbours contradict are redone, and the redone model is taken if nothing speaks against it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from pieces import MOVED, bent, piece

from resources.stores import FileStore
from splat_pipeline.assets.second_look import Gathered, look_again
from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.formats.colmap import read_model, write_model
from splat_pipeline.domain.matches import write_pairs
from splat_pipeline.domain.recipe import PoseRecipe, Recipe
from splat_pipeline.domain.tables import ATTEMPTS, KEYFRAMES, LINKS, WINDOWS, to_table, write_table
from splat_pipeline.domain.windows import settle, window_row
from splat_pipeline.ports.sfm import Attempt

JOB = "walk-0a1b2c3d"
LAST = 2


@dataclass
class Redoing:
    """Gives ``model`` of whatever window is asked for."""

    model: object
    strategies: tuple = ("global", "incremental", "incremental-wide", "incremental-other")
    asked: list = field(default_factory=list)

    def reconstruct(self, request, folder, *, say):
        (folder.parent / "matches-0a1b.db").write_text("left for other attempts")
        self.asked.append((request.strategy, len(request.images), request.recipe.time_limit_s))
        if self.model is None:
            return Attempt(
                registered=0, models=0, rms_px=float("nan"), outcome="crashed", seconds=1.0, peak_rss_bytes=7
            )
        folder.mkdir()
        write_model(folder, self.model)
        count = len(self.model.images)
        return Attempt(registered=count, models=1, rms_px=0.5, outcome="model", seconds=1.0, peak_rss_bytes=7)


def published(store, asset, write):
    with store.scratch(JOB, asset) as folder:
        write(folder)
        store.publish(JOB, asset, folder, provenance={})


@pytest.fixture
def work(tmp_path):
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    manifest = json.dumps({"recipe": Recipe(poses=PoseRecipe(rescue_limit_s=100)).model_dump()})
    published(store, "source_videos", lambda at: (at / "manifest.json").write_text(manifest))
    published(store, "features", lambda at: (at / "none.txt").write_text("nobody reads them here"))
    rows = [
        {
            "keyframe_id": i, "video_id": "a", "frame_index": i, "pts_s": float(i), "segment_id": "a",
            "file": f"images/a/{i}.jpg", "width_px": 800, "height_px": 600, "camera_id": 0, "holdout": False,
        }
        for i in range(40)
    ]  # fmt: skip
    published(store, "keyframes", lambda at: write_table(at / "keyframes.parquet", KEYFRAMES, rows))
    published(store, "linking_frames", lambda at: write_table(at / "links.parquet", LINKS, []))
    published(store, "match_graph", lambda at: write_pairs(at / "pairs.parquet", []))
    with store.scratch(JOB, "local_reconstructions") as folder:
        yield Work(job=JOB, asset="local_reconstructions", run_id="r", folder=folder, store=store, log=print)


def gathered(work, models):
    """Three windows, by the global mapper in 40 s each."""
    found = Gathered(folder=work.folder / "windows", planned=[p.window for p in models], windows={}, attempts={})
    for i, each in enumerate(models):
        (found.folder / each.window.name).mkdir(parents=True)
        write_model(found.folder / each.window.name, each.model)
        row = {
            "window_id": i, "attempt": 0, "strategy": "global", "signature": "enough", "registered": 20, "models": 1,
            "rms_px": 0.5, "outcome": "model", "features": None, "linked": None, "flat": None, "seconds": 40.0,
            "peak_rss_bytes": 5,
        }  # fmt: skip
        best, rows = settle([row])
        found.attempts[i], found.windows[i] = rows, window_row(each.window, rows, best)
    return found


def walk():
    return [piece(i, 10 * i, 10 * i + 20, world=MOVED if i % 2 else None) for i in range(3)]


def centre_x(folder):
    return [image.translation[0] for image in read_model(folder).images.values()]


def test_a_bent_window_is_redone_and_the_straight_one_taken(work):
    pieces = walk()
    straight = pieces[LAST].model
    pieces[LAST] = bent(pieces[LAST], 40)
    found, sfm = gathered(work, pieces), Redoing(straight)
    look_again(work, sfm, found)
    assert sfm.asked == [("incremental", 20, 60.0)], "another mapper, in the time that is left"
    rows = found.attempts[LAST]
    assert [(row["strategy"], row["outcome"]) for row in rows] == [("global", "doubted"), ("incremental", "kept")]
    assert found.windows[LAST]["strategy"] == "incremental"
    assert (found.windows[LAST]["attempts"], found.windows[LAST]["seconds"]) == (2, 41.0)
    assert centre_x(found.folder / "window_0002") == pytest.approx([-0.2 * at for at in range(20, 40)])
    assert sorted(path.name for path in work.folder.iterdir()) == ["windows"]
    to_table(ATTEMPTS, [row for each in found.attempts.values() for row in each])
    to_table(WINDOWS, list(found.windows.values()))


@pytest.mark.parametrize("again", ["as bent", "much shorter", "crashed"])
def test_what_is_no_better_changes_nothing_but_is_on_record(work, again):
    pieces = walk()
    short = piece(LAST, 20, 30).model
    pieces[LAST] = bent(pieces[LAST], 40)
    found = gathered(work, pieces)
    look_again(work, Redoing({"as bent": pieces[LAST].model, "much shorter": short, "crashed": None}[again]), found)
    assert [row["outcome"] for row in found.attempts[LAST]] == ["kept", "crashed" if again == "crashed" else "weaker"]
    assert found.windows[LAST]["strategy"] == "global"
    assert len(centre_x(found.folder / "window_0002")) == 20


def test_windows_above_doubt_are_left_alone(work):
    found, sfm = gathered(work, walk()), Redoing(None)
    look_again(work, sfm, found)
    assert sfm.asked == []
    assert all(len(rows) == 1 for rows in found.attempts.values())
