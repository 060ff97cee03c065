"""Tables of what was filmed: clips, frames, keyframes, and what came with them."""

from __future__ import annotations

from splat_pipeline.domain.schemas.spec import B, Column, D, F, I, L, S, TableSpec

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
