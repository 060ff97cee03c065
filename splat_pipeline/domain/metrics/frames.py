"""What was filmed, in figures for the gates: all out of the tables that the first stages write."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from splat_pipeline.domain.keyframes import LARGEST_GAP
from splat_pipeline.domain.verdicts import STANDS_PX

HARMLESS = frozenset({"duplicate"})
"""Reasons for which a frame is left out although nothing is wrong with it."""
STEP_QUANTILE = 0.95


def usable_share(frames: pd.DataFrame) -> float | None:
    """Return the share of analysed frames (``tables.FRAMES``) that could become keyframes, repeats not counted."""
    reasons = frames["reject_reason"]
    counted = reasons[~reasons.isin(list(HARMLESS))]
    return float(counted.isna().mean()) if len(counted) else None


def rotation_only_share(frames: pd.DataFrame) -> float | None:
    """Return the share of moving frames whose motion a homography explains: they show no depth.

    As a homography against a fundamental matrix decides (Torr 1998, GRIC); ``tables.FRAMES`` has the outcome.
    """
    moving = frames.loc[frames["motion_px"].fillna(0.0) > STANDS_PX, "rotation_only"].dropna()
    return float(moving.astype(float).mean()) if len(moving) else None


def dynamic_share(frames: pd.DataFrame) -> float | None:
    """Return the median share of tracks that no one motion of the camera explains, as ``scenes`` has it."""
    known = frames["epipolar_share"].dropna()
    return 1.0 - float(known.median()) if len(known) else None


def median_disparity(decisions: pd.DataFrame) -> float | None:
    """Return how far corners move between neighbouring keyframes, in longer sides of the picture (``decisions``)."""
    steps = _steps(decisions)
    return float(steps.median()) if len(steps) else None


def overlap_share(decisions: pd.DataFrame, clips: Collection[str]) -> float | None:
    """Return the share of neighbouring keyframes, of ``clips`` by video_id, between which overlap was kept.

    It is broken by a cut, and by a step of more than ``keyframes.LARGEST_GAP``. Photos are no neighbours in time.
    """
    kept = decisions[decisions["kept"] & decisions["video_id"].isin(list(clips))].sort_values(["video_id", "pts_s"])
    same = kept["video_id"].eq(kept["video_id"].shift())
    step, cut = kept["place"].diff(), kept["segment_id"].ne(kept["segment_id"].shift())
    holds = (step <= LARGEST_GAP * 1.001) & ~cut
    return float(holds[same].mean()) if same.any() else None


def exposure_step_stops(keyframes: pd.DataFrame, frames: pd.DataFrame) -> float | None:
    """Return by how many stops the brightness of neighbouring keyframes of one clip differs, 95th percentile.

    ``keyframes``: ``tables.KEYFRAMES``. One stop is twice the mean luma; what comes into view counts too.
    """
    names = ["video_id", "frame_index"]
    rows = keyframes.merge(frames[[*names, "luma_mean"]], on=names, how="inner").sort_values(["video_id", "pts_s"])
    stops = pd.Series(np.log2(rows["luma_mean"].to_numpy(float).clip(1.0)), index=rows.index)
    steps = stops.groupby(rows["video_id"]).diff().abs().dropna()
    return float(steps.quantile(STEP_QUANTILE)) if len(steps) else None


def noise_luma(keyframes: pd.DataFrame, frames: pd.DataFrame) -> float | None:
    """Return the median standard deviation of the keyframes' luma noise, of 255 (``looks.noise_of``)."""
    names = ["video_id", "frame_index"]
    noise = keyframes[names].merge(frames[[*names, "noise"]], on=names, how="inner")["noise"].dropna()
    return float(noise.median()) if len(noise) else None


def frame_metrics(
    frames: pd.DataFrame, keyframes: pd.DataFrame, decisions: pd.DataFrame, *, clips: Collection[str]
) -> dict[str, float | None]:
    """Return the metrics of the stage keyframes, but for the sharp share. ``clips``: what is no set of photos."""
    return {
        "keyframes": float(len(keyframes)),
        "usable_share": usable_share(frames),
        "median_disparity": median_disparity(decisions),
        "rotation_only_share": rotation_only_share(frames),
        "dynamic_share": dynamic_share(frames),
        "overlap_share": overlap_share(decisions, clips),
        "noise_luma": noise_luma(keyframes, frames),
        "exposure_step_stops": exposure_step_stops(keyframes, frames),
    }


def _steps(decisions: pd.DataFrame) -> pd.Series[float]:
    kept = decisions[decisions["kept"]].sort_values(["segment_id", "pts_s"])
    return kept.groupby("segment_id")["place"].diff().dropna()
