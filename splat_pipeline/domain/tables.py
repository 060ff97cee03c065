"""Every table of the pipeline: columns, types, units, what they mean. Written and read through one strict door.

A table with a missing, an extra or a mistyped column raises ``BadTable`` and names the column. Columns that are added
later are nullable: in a file that was written before them they are read as empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from splat_pipeline.domain.errors import BadTable


@dataclass(frozen=True)
class Column:
    """One column. ``unit`` is "" for names, counts and ratios."""

    name: str
    type: pa.DataType
    unit: str
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One table of the data model."""

    name: str
    version: int
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with unit and doc in each field's metadata."""
        return pa.schema(
            [pa.field(c.name, c.type, c.nullable, {"unit": c.unit, "doc": c.doc}) for c in self.columns],
            metadata={"table": self.name, "version": str(self.version)},
        )


S, F, D, I, L, B = pa.string(), pa.float32(), pa.float64(), pa.int32(), pa.int64(), pa.bool_()
STRINGS = pa.list_(pa.string())

VIDEOS = TableSpec(
    "videos",
    1,
    (
        Column("video_id", S, "", "slug, unique in the job"),
        Column("name", S, "", "path in the upload, with / between folders"),
        Column("sha256", S, "", "of the file; of the listing of files for a folder of images"),
        Column("size_bytes", L, "byte", "size of the file or of all images"),
        Column("container", S, "", "short name of the container; 'images' for a folder of images", nullable=True),
        Column("codec", S, "", "short name of the codec", nullable=True),
        Column("width_px", I, "px", "as shown, after rotation", nullable=True),
        Column("height_px", I, "px", "as shown, after rotation", nullable=True),
        Column("rotation_deg", I, "deg", "clockwise turn that the metadata asks for: 0, 90, 180, 270", nullable=True),
        Column("fps", F, "1/s", "average frame rate", nullable=True),
        Column("is_vfr", B, "", "frame rate varies", nullable=True),
        Column("duration_s", D, "s", "as the container claims", nullable=True),
        Column("frame_count", L, "", "as the container claims; images: how many", nullable=True),
        Column("bit_depth", I, "bit", "of a luma sample", nullable=True),
        Column("transfer", S, "", "transfer characteristics, e.g. bt709, arib-std-b67 (HLG)", nullable=True),
        Column("color_primaries", S, "", "e.g. bt709, bt2020", nullable=True),
        Column("color_range", S, "", "limited (luma 16 to 235 in 8 bits) or full, where it is said", nullable=True),
        Column("mirrored", B, "", "metadata asks to exchange left and right, before the turn", nullable=True),
        Column("created_utc", S, "", "ISO 8601", nullable=True),
        Column("make", S, "", "of the camera", nullable=True),
        Column("model", S, "", "of the camera", nullable=True),
        Column("focal_35mm_mm", F, "mm", "35 mm equivalent", nullable=True),
        Column("lat_deg", D, "deg", "WGS84", nullable=True),
        Column("lon_deg", D, "deg", "WGS84", nullable=True),
        Column("alt_m", D, "m", "above the ellipsoid or sea, as recorded", nullable=True),
        Column("usable", B, "", "later stages read it"),
        Column("reject_reason", S, "", "class and cause when not usable", nullable=True),
    ),
)

FRAMES = TableSpec(
    "frames",
    1,
    (
        Column("video_id", S, "", "of videos"),
        Column("frame_index", I, "", "position in decode order; with pts_s, never alone, the name of a frame"),
        Column("pts_s", D, "s", "presentation time; images: their position"),
        Column("segment_id", S, "", "a stretch without cut, freeze, lost overlap or jump of exposure"),
        Column("sharpness", F, "", "variance of the Laplacian of luma at analysis size"),
        Column("sharpness_rel", F, "", "sharpness over the median of its neighbours in time"),
        Column("luma_mean", F, "", "mean luma, 0 to 255"),
        Column("clipped_low", F, "", "share of pixels with luma < 4"),
        Column("clipped_high", F, "", "share of pixels with luma > 251"),
        Column("contrast", F, "", "standard deviation of luma, 0 to 127"),
        Column("texture", F, "", "trackable corners, as a share of the corners asked for"),
        Column("motion_px", F, "px", "median track length since the previous analysed frame", nullable=True),
        Column("parallax", F, "", "share of fundamental-matrix inliers that no homography explains", nullable=True),
        Column("rotation_only", B, "", "a homography explains the motion", nullable=True),
        Column("duplicate_of", I, "", "frame_index that this one repeats", nullable=True),
        Column(
            "static_share", F, "", "share of tracks that stand still since the frame about 0.5 s before", nullable=True
        ),
        Column("dynamic_share", F, "", "share of tracks against the dominant motion", nullable=True),
        Column("quality", F, "", "0 to 1, rank within the clip"),
        Column("reject_reason", S, "", "why it cannot become a keyframe", nullable=True),
        Column("tracked_share", F, "", "share of tracks of the analysed frame before that were found", nullable=True),
        Column("homography_share", F, "", "share of tracks that one homography explains", nullable=True),
        Column("epipolar_share", F, "", "share of tracks that one fundamental matrix explains", nullable=True),
        Column("shake_px", F, "px", "change of the median motion since the analysed frame before", nullable=True),
        Column(
            "shear_px",
            F,
            "px",
            "rows that slid against each other, top to bottom: large by jerks of the camera "
            "under a rolling shutter, and by floors",
            nullable=True,
        ),
        Column("noise", F, "", "standard deviation of luma noise, 0 to 255", nullable=True),
        Column("phash", S, "", "perceptual hash of 64 bits, in hex", nullable=True),
    ),
)

SEGMENTS = TableSpec(
    "segments",
    1,
    (
        Column("segment_id", S, "", ""),
        Column("video_id", S, "", "of videos"),
        Column("start_s", D, "s", "first frame's presentation time"),
        Column("stop_s", D, "s", "last frame's presentation time"),
        Column("frames", I, "", "analysed frames"),
        Column("ended_by", S, "", "cut, freeze, lost_overlap, exposure, end"),
    ),
)

KEYFRAMES = TableSpec(
    "keyframes",
    1,
    (
        Column("keyframe_id", I, "", "0, 1, 2, ... in order of clip and time"),
        Column("video_id", S, "", "of videos"),
        Column("frame_index", I, "", "of frames"),
        Column("pts_s", D, "s", "of frames"),
        Column("segment_id", S, "", "of segments"),
        Column("file", S, "", "images/<segment>/<name>.jpg in the artifact"),
        Column("width_px", I, "px", "of the stored image"),
        Column("height_px", I, "px", "of the stored image"),
        Column("camera_id", I, "", "keyframes of one id share intrinsics"),
        Column("holdout", B, "", "kept away from training, for evaluation"),
    ),
)

POSITIONS = TableSpec(
    "positions",
    1,
    (
        Column("video_id", S, "", "of videos"),
        Column("pts_s", D, "s", "presentation time; images: their position in the set"),
        Column("lat_deg", D, "deg", "WGS84"),
        Column("lon_deg", D, "deg", "WGS84"),
        Column("alt_m", D, "m", "above the ellipsoid or sea, as recorded", nullable=True),
        Column("accuracy_m", F, "m", "horizontal error, as the receiver says", nullable=True),
        Column("source", S, "", "exif, srt (beside the clip), gpmf (GoPro), subtitles (in the clip)"),
    ),
)

DECISIONS = TableSpec(
    "decisions",
    1,
    (
        Column("video_id", S, "", "of videos"),
        Column("frame_index", I, "", "of frames"),
        Column("pts_s", D, "s", "of frames"),
        Column("segment_id", S, "", "of segments"),
        Column("place", D, "", "along the segment, in longer sides of the picture that corners moved or were lost by"),
        Column("kept", B, "", "it is a keyframe"),
        Column("bridge", B, "", "it is one although it is poor: overlap would break without it"),
        Column("because", S, "", "why it was kept or not"),
    ),
)

GIVEN = TableSpec(
    "given_poses",
    1,
    (
        Column("video_id", S, "", "of videos"),
        Column("frame_index", I, "", "of frames; images: their position in the set; -1: the one at pts_s"),
        Column("name", S, "", "path of the image in the upload, or CLIP#t=SECONDS"),
        Column("lens_id", I, "", "of given_cameras.json"),
        Column("qw", D, "", "cam_from_world rotation, unit quaternion"),
        Column("qx", D, "", ""),
        Column("qy", D, "", ""),
        Column("qz", D, "", ""),
        Column("tx", D, "given", "cam_from_world translation"),
        Column("ty", D, "given", ""),
        Column("tz", D, "given", ""),
        Column("confidence", F, "", "0 to 1 as the source says", nullable=True),
        Column("pts_s", D, "s", "time in the clip; images: none", nullable=True),
    ),
)

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

TRAINING = TableSpec(
    "training",
    2,
    (
        Column("rung", S, "", "detail of the attempt that this step belongs to"),
        Column("iteration", I, "", ""),
        Column("loss", F, "", "running mean of 0.8 L1 + 0.2 D-SSIM"),
        Column(
            "psnr_db",
            F,
            "dB",
            "running mean over views just trained, at their size",
            nullable=True,
        ),
        Column("gaussians", I, "", "", nullable=True),
        Column("factor", I, "", "by which images were made smaller: 4, 2 or 1", nullable=True),
        Column("seconds", F, "s", "since the attempt began"),
    ),
)

HELDOUT = TableSpec(
    "heldout",
    1,
    (
        Column("keyframe_id", I, "", "of keyframes"),
        Column("psnr_db", F, "dB", "against the undistorted image"),
        Column("ssim", F, "", "11x11 Gaussian window, mean of the channels"),
        Column("psnr_corrected_db", F, "dB", "after the best affine change of the rendering's colours", nullable=True),
    ),
)

LADDER = TableSpec(
    "ladder",
    1,
    (
        Column("rung", S, "", "full, reduced, preview"),
        Column("outcome", S, "", "kept, worse, or the class of the error"),
        Column("because", S, "", "why it was not enough; empty when nothing spoke against it"),
        Column("longer_side_px", I, "px", "of the training images"),
        Column("iterations", I, "", "that were planned"),
        Column("max_gaussians", I, "", "that were allowed"),
        Column("gaussians", I, "", "that came of it", nullable=True),
        Column("psnr_db", F, "dB", "of held-out views at the rung's size", nullable=True),
        Column("ssim", F, "", "of held-out views", nullable=True),
        Column("seconds", F, "s", "training and measuring"),
    ),
)

CLEANING = TableSpec(
    "cleaning",
    1,
    (
        Column("rule", S, "", "see domain/cleaning.py"),
        Column("says", S, "", "its condition, with numbers"),
        Column("found", I, "", "Gaussians that it marks"),
        Column("removed", I, "", "of them; 0 where the rule was not applied"),
        Column("psnr_before_db", F, "dB", "mean of the held-out views, before", nullable=True),
        Column("psnr_after_db", F, "dB", "without those that it marks", nullable=True),
        Column("because", S, "", "why it was applied, or was not"),
    ),
)

CONTRIBUTIONS = TableSpec(
    "contributions",
    1,
    (Column("weight_px", F, "px", "of each kept Gaussian: blending weight summed over all training views"),),
)

FORMATS = TableSpec(
    "formats",
    1,
    (
        Column("format", S, "", "ply, splat, ..."),
        Column("file", S, "", ""),
        Column("size_bytes", L, "byte", ""),
        Column("gaussians", I, "", ""),
        Column("max_error", F, "", "largest difference after reading back: positions, world units"),
        Column("axes", S, "", "right-handed axes of the file"),
        Column("lost", S, "", "what the format cannot say, in words", nullable=True),
        Column("psnr_db", F, "dB", "pictures of what was read back against those of the original", nullable=True),
        Column("left_out", S, "", "for exports.max_bytes, in words", nullable=True),
        Column("wanted", I, "", "Gaussians that were to be in it", nullable=True),
        Column("unread_share", F, "", "of the Gaussians, not finite after reading back", nullable=True),
        Column("box_error", F, "", "of the box of positions after reading back, over its diagonal", nullable=True),
    ),
)

GATES = TableSpec(
    "gates",
    1,
    (
        Column("job", S, "", ""),
        Column("run_id", S, "", "Dagster's"),
        Column("utc", S, "", "ISO 8601"),
        Column("stage", S, "", "asset"),
        Column("gate", S, "", "name of the asset check"),
        Column("metric", S, "", ""),
        Column("value", D, "", "", nullable=True),
        Column("limit", D, "", ""),
        Column("scene_type", S, "", "by which it was judged: the job's, or as estimated; auto: not known yet"),
        Column("severity", S, "", "WARN or ERROR"),
        Column("passed", B, "", "or it does not apply: then the value is null"),
        Column("because", S, "", "in words"),
        Column("lifted", S, "", "by whom it was lifted, when it was", nullable=True),
    ),
)

STAGES = TableSpec(
    "stages",
    1,
    (
        Column("job", S, "", ""),
        Column("stage", S, "", "asset or op"),
        Column("run_id", S, "", "Dagster's"),
        Column("utc", S, "", "ISO 8601, at the end"),
        Column("seconds", D, "s", "wall time"),
        Column("peak_rss_bytes", L, "byte", "of the step's process and, apart, its largest child"),
        Column("peak_vram_bytes", L, "byte", "of the GPU that was taken most of", nullable=True),
        Column("gpu_share", F, "", "of the time in which the busiest GPU ran a kernel", nullable=True),
        Column("gpu_power_w", F, "W", "mean, of that GPU", nullable=True),
        Column("bytes_in", L, "byte", "artifacts, and of the upload, read"),
        Column("bytes_out", L, "byte", "artifact written"),
        Column("attempts", I, "", "of the step in this run"),
        Column("outcome", S, "", "success, reused (an earlier result holds) or failure"),
        Column("failure_signature", S, "", "class, stage and what was salient: alike failures have one", nullable=True),
        Column("product", S, "", "class of the job", nullable=True),
    ),
)

FREED = TableSpec(
    "freed",
    1,
    (
        Column("utc", S, "", "ISO 8601"),
        Column("kind", S, "", "uploads, intermediates, checkpoints or packages"),
        Column("product", S, "", "class of the job"),
        Column("job", S, "", "empty: not known"),
        Column("name", S, "", "where it lay"),
        Column("size_bytes", L, "byte", ""),
        Column("because", S, "", ""),
    ),
)

CORRECTIONS = TableSpec(
    "corrections",
    1,
    (
        Column("job", S, "", ""),
        Column("run_id", S, "", "Dagster's"),
        Column("utc", S, "", "ISO 8601"),
        Column("segment", S, "", "window of keyframes that were reconstructed together"),
        Column("attempts", I, "", "how many were made; one is enough where nothing went wrong"),
        Column("registered", I, "", "keyframes that the best of them placed"),
        Column("of", I, "", "keyframes of the segment"),
    ),
)

CROSS_JOB = (GATES, STAGES, FREED, CORRECTIONS)
"""Tables over all jobs, which grow with every run."""

ALL: tuple[TableSpec, ...] = (
    VIDEOS, POSITIONS, FRAMES, SEGMENTS, KEYFRAMES, DECISIONS, GIVEN, FEATURES, PAIRS, LINKS, WINDOWS, ATTEMPTS, POSES,
    LOOPS, ALIGNMENT, POINTS, TRAINING, HELDOUT, LADDER, CLEANING, CONTRIBUTIONS, FORMATS,
    GATES, STAGES, CORRECTIONS, FREED,
)  # fmt: skip


def to_table(spec: TableSpec, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return ``rows`` as an Arrow table of exactly the columns of ``spec``; NaN in a float column becomes null.

    Raises ``BadTable`` naming the column that is missing, extra, mistyped or null where it must not be.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=_columns(spec, rows))
    _same_columns(spec, list(frame.columns))
    arrays = []
    for column in spec.columns:
        values = [None if _is_null(v) else v for v in frame[column.name].tolist()]
        try:
            array = pa.array(values, type=column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise BadTable(f"{spec.name}.{column.name} must be {column.type}: {error}") from None
        if array.null_count and not column.nullable:
            raise BadTable(f"{spec.name}.{column.name} has {array.null_count} empty values and must have none")
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def write_table(path: Path, spec: TableSpec, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> None:
    """Write ``rows`` to ``path`` as zstd Parquet. Raises as ``to_table``."""
    pq.write_table(to_table(spec, rows), path, compression="zstd")


def read_table(path: Path, spec: TableSpec) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote. Raises ``BadTable`` when it is something else."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadTable(f"{path.name} cannot be read as {spec.name}: {error}", file=path.name) from None
    for column in spec.columns:
        if column.nullable and column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, column.type))
    _same_columns(spec, table.column_names)
    for column in spec.columns:
        if table.schema.field(column.name).type != column.type:
            got = table.schema.field(column.name).type
            raise BadTable(f"{spec.name}.{column.name} must be {column.type}, is {got}", file=path.name)
    frame: pd.DataFrame = table.select([column.name for column in spec.columns]).to_pandas()
    return frame


def read_rows(path: Path, spec: TableSpec) -> list[dict[str, Any]]:
    """Read a table as ``read_table`` does, row by row; an empty float is NaN, any other empty value None."""
    frame = read_table(path, spec)
    words = [column.name for column in spec.columns if pa.types.is_string(column.type)]
    frame = frame.astype(dict.fromkeys(words, object)).where(frame.notna() | ~frame.columns.isin(words), None)
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _columns(spec: TableSpec, rows: Iterable[Mapping[str, Any]]) -> list[str] | None:
    return None if isinstance(rows, Sequence) and len(rows) else [c.name for c in spec.columns]


def _same_columns(spec: TableSpec, got: Sequence[str]) -> None:
    want = [c.name for c in spec.columns]
    for name in want:
        if name not in got:
            raise BadTable(f"{spec.name} lacks the column {name}")
    for name in got:
        if name not in want:
            raise BadTable(f"{spec.name} has an unknown column {name}")


def _is_null(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)  # noqa: PLR0124  # NaN
