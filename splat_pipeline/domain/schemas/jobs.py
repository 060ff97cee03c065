"""Tables over all jobs: verdicts, costs, what was removed, what had to be tried again."""

from __future__ import annotations

from splat_pipeline.domain.schemas.spec import B, Column, D, F, I, L, S, TableSpec

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
