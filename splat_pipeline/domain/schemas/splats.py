"""Tables of the training, of what was cleaned away and of what is delivered."""

from __future__ import annotations

from splat_pipeline.domain.schemas.spec import Column, F, I, L, S, TableSpec

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
