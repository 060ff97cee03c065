"""Frames that tie keyframes together which lost one another: decoded, matched, and put among the keyframes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from splat_pipeline.assets.cameras import Clip
from splat_pipeline.assets.footage import FEATURES, IMAGES, PAIRS_FILE, names_of, put_together
from splat_pipeline.assets.frames import clips_of
from splat_pipeline.assets.known import known_cameras, read_known
from splat_pipeline.assets.posed import source_of
from splat_pipeline.assets.stages import Machines, Readers, Sfm, Stores, Work, job_asset, stage
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.links import Break, around, breaks, bridged, linking_rows, woven
from splat_pipeline.domain.matches import MatchedPair, read_pairs, write_pairs
from splat_pipeline.domain.tables import FRAMES, KEYFRAMES, LINKS, read_table, write_table
from splat_pipeline.ports.media import MediaReader
from splat_pipeline.ports.sfm import FeatureRequest, MatchRequest, SfmBackend

REACH = 5
"""Keyframes on either side of a break that its linking frames are matched with."""


@job_asset(
    deps=["source_videos", "frame_quality", "keyframes", "features", "match_graph"],
    kinds={"opencv", "colmap"},
    pool="decode",
)
def linking_frames(
    context: dg.AssetExecutionContext, store: Stores, machine: Machines, reader: Readers, sfm: Sfm
) -> dg.MaterializeResult[Any]:
    """Frames from between keyframes that lost one another, with the matches that tie these together again."""
    with stage(context, store, machine) as work:
        keyframes = read_table(work.input("keyframes") / "keyframes.parquet", KEYFRAMES)
        broken, clips = _broken(work, keyframes)
        rows = _decoded(work, reader, clips, broken, keyframes) if broken else []
        write_table(work.folder / "links.parquet", LINKS, rows)
        pairs = _matched(work, sfm, keyframes, pd.DataFrame(rows)) if rows else []
        write_pairs(work.folder / PAIRS_FILE, pairs)
        tied = bridged(broken, names_of(keyframes), keyframes["keyframe_id"].tolist(), pairs)
        work.publish(metadata={"breaks": len(broken), "frames": len(rows), "tied": len(tied)})
    return work.result()


def _broken(work: Work, keyframes: pd.DataFrame) -> tuple[list[Break], Mapping[str, Clip]]:
    """Return the breaks and the clips that they are in.

    Photos have nothing between them, given poses need no ties, a rig's cameras tie one another, and of footage that was
    prepared elsewhere only the keyframes are here.
    """
    known = read_known(work.input("source_videos"))
    if source_of(work.input("source_videos"), work.recipe.poses) is not None or (known is not None and known.rig):
        return [], {}
    found = breaks(keyframes, read_pairs(work.input("match_graph") / PAIRS_FILE))
    clips = {clip.video_id: clip for clip in clips_of(work) if not clip.facts.images} if found else {}
    return [each for each in found if each.video_id in clips], clips


def _decoded(
    work: Work, reader: MediaReader, clips: Mapping[str, Clip], broken: Sequence[Break], keyframes: pd.DataFrame
) -> list[dict[str, Any]]:
    """Write the linking frames and return their rows of ``tables.LINKS``."""
    frames = read_table(work.input("frame_quality") / "frames.parquet", FRAMES)
    cameras = dict(zip(keyframes["keyframe_id"].tolist(), keyframes["camera_id"].tolist(), strict=True))
    chosen = linking_rows(frames, broken)
    rows: list[dict[str, Any]] = []
    for clip in clips.values():
        mine = [(each.first, frames.iloc[at]) for each, at in chosen if each.video_id == clip.video_id]
        refs = [
            FrameRef(
                name=f"{row['segment_id']}-links/{first:05d}-{int(row['frame_index']):06d}",
                frame_index=int(row["frame_index"]),
                pts_s=float(row["pts_s"]),
            )
            for first, row in mine
        ]
        for ref in refs:
            (work.folder / IMAGES / ref.name).parent.mkdir(parents=True, exist_ok=True)
        recipe = work.recipe.frames
        written = reader.extract(
            clip.path,
            clip.facts,
            refs,
            work.folder / IMAGES,
            longer_side_px=recipe.longer_side_px,
            quality=recipe.jpeg_quality,
        )
        for (first, _), ref, (name, width, height) in zip(mine, refs, written, strict=True):
            where = {"keyframe_id": first, "video_id": clip.video_id, "camera_id": cameras[first]}
            what = {"frame_index": ref.frame_index, "pts_s": ref.pts_s, "file": f"{IMAGES}/{name}"}
            rows.append(where | what | {"width_px": width, "height_px": height})
    work.log(f"{len(broken)} pairs of neighbouring keyframes do not match: {len(rows)} frames from between them")
    return rows


def _matched(work: Work, sfm: SfmBackend, keyframes: pd.DataFrame, links: pd.DataFrame) -> list[MatchedPair]:
    """Find features in the linking frames and return their matches with one another and with keyframes around."""
    recipe, seed = work.recipe.poses, work.recipe.seed
    found = FeatureRequest(
        folder=work.folder / IMAGES,
        images=names_of(links),
        camera_ids=links["camera_id"].tolist(),
        recipe=recipe,
        seed=seed,
    )
    sfm.extract_features(found, work.folder / FEATURES, say=work.log)
    near, together = around(woven(keyframes, links), REACH), work.folder / "together"
    put_together([work.input("features") / FEATURES, work.folder / FEATURES], together / FEATURES)
    request = MatchRequest(
        images=names_of(near),
        camera_ids=near["camera_id"].tolist(),
        features=together / FEATURES,
        recipe=recipe.model_copy(update={"exhaustive_up_to": 0}),
        seed=seed,
        **known_cameras(work, near),
    )
    sfm.match(request, together / PAIRS_FILE, say=work.log)
    new = set(found.images)
    pairs = [pair for pair in read_pairs(together / PAIRS_FILE) if new & {pair.first, pair.second}]
    shutil.rmtree(together)
    return pairs
