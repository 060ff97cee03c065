"""The benchmark of bent ways: nothing fails as it is, and the loops do when it is bent."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from pieces import window_model

from resources.stores import FileStore
from splat_pipeline.domain.formats.colmap import write_model
from splat_pipeline.domain.matches import MatchedPair, write_pairs
from splat_pipeline.domain.tables import KEYFRAMES, write_table
from splat_pipeline.domain.uploads import Upload

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bent

JOB, IMAGES = "walk-00000000", 20


def test_a_way_fails_only_when_it_is_bent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    store.register(Upload(job=JOB, title="walk", location="/nowhere", files=()))
    with store.scratch(JOB, "keyframes") as folder:
        named = {
            "video_id": "a",
            "segment_id": "a",
            "width_px": 800,
            "height_px": 600,
            "camera_id": 0,
            "holdout": False,
        }
        rows = [
            {
                **named,
                "keyframe_id": i,
                "frame_index": i,
                "pts_s": float(i),
                "holdout": False,
                "file": f"images/a/{i}.jpg",
            }
            for i in range(IMAGES)
        ]
        write_table(folder / "keyframes.parquet", KEYFRAMES, rows)
        store.publish(JOB, "keyframes", folder, provenance={})
    with store.scratch(JOB, "camera_poses") as folder:
        (folder / "sparse").mkdir()
        write_model(folder / "sparse", window_model(0, IMAGES))
        store.publish(JOB, "camera_poses", folder, provenance={})
    keys = np.arange(200, dtype=np.uint32)
    matches = np.stack([keys, keys], axis=1)
    steps = [(i, i + step) for i in range(IMAGES) for step in (1, 2, 10) if i + step < IMAGES]
    with store.scratch(JOB, "match_graph") as folder:
        pairs = [MatchedPair(first=f"a/{i}.jpg", second=f"a/{j}.jpg", far=j - i > 5, matches=matches) for i, j in steps]
        write_pairs(folder / "pairs.parquet", pairs)
        store.publish(JOB, "match_graph", folder, provenance={})
    bent.main(["--home", str(tmp_path), "--degrees", "40"])
    straight, turned = capsys.readouterr().out.splitlines()
    assert straight.endswith("fails nothing")
    assert "loops_closed" in turned
