"""Tables of how cameras and points were found."""

from __future__ import annotations

import pyarrow as pa

from splat_pipeline.domain.schemas.spec import B, Column, D, F, I, L, S, TableSpec

FEATURES = TableSpec(
    "features",
    1,
    (
        Column("image", S, "", "path in the keyframes' images folder"),
        Column("width_px", I, "px", "of the image; keypoints are in its pixels"),
        Column("height_px", I, "px", ""),
        Column("count", I, "", "keypoints"),
        Column(
            "keypoints", pa.large_binary(), "px", "(count, 6) float32: x y a11 a12 a21 a22, corner of the image at 0"
        ),
        Column("descriptors", pa.large_binary(), "", "(count, 128) uint8: SIFT, L1-root normalised"),
    ),
)

LINKS = TableSpec(
    "links",
    1,
    (
        Column("keyframe_id", I, "", "of the keyframe before it; the one after it is the next of the clip"),
        Column("video_id", S, "", "of videos"),
        Column("frame_index", I, "", "of frames"),
        Column("pts_s", D, "s", "of frames"),
        Column("file", S, "", "images/<segment>-links/<name>.jpg in the artifact"),
        Column("width_px", I, "px", "of the stored image"),
        Column("height_px", I, "px", "of the stored image"),
        Column("camera_id", I, "", "of keyframes"),
    ),
)

PAIRS = TableSpec(
    "pairs",
    1,
    (
        Column("first", S, "", "image, by its path in the keyframes' images folder; before second in clip and time"),
        Column("second", S, "", "image"),
        Column("far", B, "", "found by looks, not a neighbour in time: needs more inliers"),
        Column("inliers", I, "", "verified matches; 0: tried in vain"),
        Column("config", S, "", "COLMAP's two-view geometry, e.g. CALIBRATED, PLANAR_OR_PANORAMIC", nullable=True),
        Column("geometry", pa.large_binary(), "", "F, E, H: 27 float64 row by row, NaN where unknown", nullable=True),
        Column("second_from_first", pa.large_binary(), "", "(3, 4) float64, translation of length 1", nullable=True),
        Column("matches", pa.large_binary(), "", "(inliers, 2) uint32: positions of keypoints in first and second"),
    ),
)

WINDOWS = TableSpec(
    "windows",
    1,
    (
        Column("window_id", I, "", "0, 1, 2, ..."),
        Column("first", I, "", "first keyframe_id"),
        Column("stop", I, "", "one past the last keyframe_id"),
        Column("registered", I, "", "images of the chosen submodel"),
        Column("rms_px", F, "px", "root mean square reprojection error", nullable=True),
        Column("strategy", S, "", "of the attempt that was kept"),
        Column("attempts", I, "", "how many were made"),
        Column("failure_signature", S, "", "why it failed, when it did", nullable=True),
        Column("seconds", F, "s", "all attempts"),
        Column("peak_rss_bytes", L, "byte", "highest of the child processes"),
    ),
)

ATTEMPTS = TableSpec(
    "attempts",
    2,
    (
        Column("window_id", I, "", "of windows"),
        Column("attempt", I, "", "0, 1, ..."),
        Column("strategy", S, "", "what was tried, e.g. incremental-wide, or merge: see rescue"),
        Column("signature", S, "", "what the attempt looked like; decides what is tried next"),
        Column("registered", I, "", "images of the largest submodel"),
        Column("models", I, "", "submodels that came back"),
        Column("rms_px", F, "px", "root mean square reprojection error", nullable=True),
        Column(
            "outcome",
            S,
            "",
            "kept, weaker, doubted, failed, crashed, timeout, memory; given poses: contradicted, few points",
        ),
        Column("features", F, "", "an image, in the middle", nullable=True),
        Column("linked", F, "", "share of images next to each other that match", nullable=True),
        Column("flat", F, "", "share of verified pairs without parallax", nullable=True),
        Column("seconds", F, "s", ""),
        Column("peak_rss_bytes", L, "byte", "of the child process; of a merge not measured: 0"),
    ),
)

POSES = TableSpec(
    "poses",
    1,
    (
        Column("keyframe_id", I, "", "of keyframes"),
        Column("registered", B, "", "a pose was found; all below are null when not"),
        Column("window_ids", pa.list_(I), "", "windows that saw it"),
        Column("qw", D, "", "cam_from_world rotation, unit quaternion", nullable=True),
        Column("qx", D, "", "", nullable=True),
        Column("qy", D, "", "", nullable=True),
        Column("qz", D, "", "", nullable=True),
        Column("tx", D, "world", "cam_from_world translation", nullable=True),
        Column("ty", D, "world", "", nullable=True),
        Column("tz", D, "world", "", nullable=True),
        Column("center_x", D, "world", "camera centre", nullable=True),
        Column("center_y", D, "world", "", nullable=True),
        Column("center_z", D, "world", "", nullable=True),
        Column("observations", I, "", "triangulated points seen", nullable=True),
        Column("mean_error_px", F, "px", "mean reprojection error", nullable=True),
        Column("median_tri_angle_deg", F, "deg", "median triangulation angle of its points", nullable=True),
        Column("rotation_sigma_deg", F, "deg", "1 sigma, when a covariance was computed", nullable=True),
        Column("position_sigma", F, "world", "1 sigma, when a covariance was computed", nullable=True),
        Column("pose_confidence", F, "", "0 to 1"),
    ),
)

LOOPS = TableSpec(
    "loops",
    1,
    (
        Column("first", I, "", "keyframe_id"),
        Column("second", I, "", "keyframe_id"),
        Column("inliers", I, "", "verified matches"),
        Column("rotation_before_deg", F, "deg", "residual rotation", nullable=True),
        Column("translation_before", F, "", "residual translation over the extent of the trajectory", nullable=True),
        Column("rotation_after_deg", F, "deg", "", nullable=True),
        Column("translation_after", F, "", "", nullable=True),
    ),
)

ALIGNMENT = TableSpec(
    "alignment",
    1,
    (
        Column("window_id", I, "", "of windows"),
        Column("scale", D, "", "of the Sim3 world_from_window"),
        Column("qw", D, "", "rotation of the Sim3"),
        Column("qx", D, "", ""),
        Column("qy", D, "", ""),
        Column("qz", D, "", ""),
        Column("tx", D, "world", "translation of the Sim3"),
        Column("ty", D, "world", ""),
        Column("tz", D, "world", ""),
        Column("shared_observations", I, "", "observations shared with the neighbours that fixed it"),
    ),
)

POINTS = TableSpec(
    "points",
    1,
    (
        Column("x", F, "world", "upright world: see frame_of_reference.json"),
        Column("y", F, "world", ""),
        Column("z", F, "world", ""),
        Column("red", pa.uint8(), "", "sRGB"),
        Column("green", pa.uint8(), "", ""),
        Column("blue", pa.uint8(), "", ""),
        Column("error_px", F, "px", "mean reprojection error"),
        Column("track_length", I, "", "images that see it"),
    ),
)
