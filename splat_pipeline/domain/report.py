"""What a person is told of a job: its figures, its gates, and a verdict in plain words."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import Any

from splat_pipeline.domain import tables
from splat_pipeline.domain.plans import Detail
from splat_pipeline.domain.quality import Verdict

STAGE_ORDER = (
    "source_videos", "frame_quality", "keyframes", "features", "match_graph", "linking_frames", "local_reconstructions",
    "camera_poses", "point_cloud", "training_plan", "splat", "cleaned", "exports", "preview", "viewer",
    "report", "package",
)  # fmt: skip

FAN_OUT = "local_reconstructions"

FINE_DB, GOOD_DB, FAIR_DB = 28.0, 24.0, 20.0
"""Held-out PSNR: published splats of good captures are at 24 to 30 dB, soft ones near 20."""

SOUND: Mapping[str, str] = {
    Detail.PREVIEW: "A sound first look, at preview detail",
    Detail.REDUCED: "A sound splat, at reduced detail",
}
"""What is said where nothing is wrong, but the detail is not full."""

DATA_TYPES = {
    ".ply": "splat_data", ".splat": "splat_data", ".spz": "splat_data", ".sog": "splat_data", ".glb": "splat_data",
    "preview.mp4": "splat_preview_video", "poster.jpg": "splat_poster_image",
    "turntable.jpg": "splat_turntable_image",
    "camera_path.json": "splat_camera_path", "preview.json": "splat_preview_status",
    "report.html": "splat_report", "viewer.html": "splat_viewer", "cleaning.parquet": "splat_cleaning",
    "points.ply": "splat_point_cloud", "poses.parquet": "splat_camera_poses",
    "formats.parquet": "splat_format_checks", "heldout.parquet": "splat_heldout_scores",
    "cameras.bin": "splat_colmap_model", "images.bin": "splat_colmap_model", "points3D.bin": "splat_colmap_model",
    "transforms.json": "splat_transforms",
    "frame_of_reference.json": "splat_frame_of_reference", "snapshot.json": "splat_snapshot",
}  # fmt: skip
"""By file name, else by ending."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One job in figures. A figure that was not measured is None, never zero."""

    title: str
    detail: str
    reasons: tuple[str, ...]
    attempts: tuple[Mapping[str, Any], ...]
    """The rungs of the ladder that were tried: detail, outcome, because, ..."""
    gates: tuple[Verdict, ...]
    registered: int
    keyframes: int
    rms_px: float | None
    psnr_heldout_db: float | None
    ssim_heldout: float | None
    gaussians: int
    draft: bool = False
    """A final result follows."""
    notes: tuple[str, ...] = ()
    """What else went wrong, e.g. why there is no preview."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know: failed gates, then notes."""
        return (*(f"{v.gate}: {v.because}" for v in self.gates if not v.passed), *self.notes)

    @property
    def status(self) -> str:
        """As in ``delivery.json``."""
        return "delivered_with_warnings" if self.warnings else "delivered"

    @property
    def metrics(self) -> dict[str, float | int | None]:
        """The figures by name, as in ``delivery.json``."""
        return {
            "registered": self.registered,
            "keyframes": self.keyframes,
            "rms_px": self.rms_px,
            "psnr_heldout": self.psnr_heldout_db,
            "ssim_heldout": self.ssim_heldout,
            "gaussians": self.gaussians,
        }


def summarise(
    folders: Mapping[str, Path], *, title: str, gates: Sequence[Verdict], notes: Sequence[str] = ()
) -> Summary:
    """Read the figures of a job out of the artifacts camera_poses, splat and exports in ``folders``.

    Raises ``BadTable``.
    """
    plan = json.loads((folders["splat"] / "plan.json").read_text())
    poses = tables.read_table(folders["camera_poses"] / "poses.parquet", tables.POSES)
    heldout = tables.read_table(folders["splat"] / "heldout.parquet", tables.HELDOUT)
    formats = tables.read_table(folders["exports"] / "formats.parquet", tables.FORMATS)
    values = {verdict.limit.metric: verdict.value for verdict in gates}
    return Summary(
        title=title,
        detail=plan["detail"],
        reasons=tuple(plan["reasons"]),
        draft=bool(plan.get("draft", False)),
        attempts=tuple(plan.get("attempts", ())),
        gates=tuple(gates),
        registered=int(poses["registered"].sum()),
        keyframes=len(poses),
        rms_px=_known(values.get("rms_px")),
        psnr_heldout_db=_known(heldout["psnr_db"].mean()),
        ssim_heldout=_known(heldout["ssim"].mean()),
        gaussians=int(formats["gaussians"].max()),
        notes=tuple(notes),
    )


def verdict_of(summary: Summary) -> tuple[str, str, str]:
    """Return (tone, headline, sentence): tone is good, fair or poor."""
    psnr_db = summary.psnr_heldout_db
    worst = [v for v in summary.gates if not v.passed]
    if psnr_db is None:
        tone, headline = "fair", "Delivered, but not measured"
    elif psnr_db < FAIR_DB or any(v.limit.severity == "ERROR" for v in worst):
        tone, headline = "poor", "A rough splat: look before you use it"
    elif worst or psnr_db < GOOD_DB:
        first_look = summary.detail == Detail.PREVIEW
        tone, headline = "fair", f"{'A first look' if first_look else 'Usable'}, with reservations"
    else:
        tone, headline = "good", SOUND.get(summary.detail, "A splat that can be trusted")
    words = (_poses_words(summary), _likeness_words(psnr_db), _detail_words(summary))
    return tone, headline, " ".join(filter(None, words))


def data_type_of(name: str) -> str:
    """Return the kind of a delivered file; ``splat_other`` when it has none of its own."""
    return DATA_TYPES.get(name) or DATA_TYPES.get(Path(name).suffix) or "splat_other"


def called(name: str) -> str:
    """Return what a person is told that a source is called: photos that lie in no folder have the name of this one."""
    return "the photos" if name == "." else name


def in_order(
    measured: Mapping[str, float | None], *, together: Callable[[float, float], float] = add
) -> list[tuple[str, float]]:
    """Return (stage, figure) in the order of the graph, unknown stages last, unmeasured ones left out.

    The windows of the fan-out count as one stage: what they took ``together``, whether at once or one by one.
    """
    rank = {name: i for i, name in enumerate(STAGE_ORDER)}
    known: dict[str, float] = {}
    for name, taken in measured.items():
        if taken is not None:
            shown = FAN_OUT if name.startswith("window_") else name
            known[shown] = together(known.get(shown, 0.0), float(taken))
    return sorted(known.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0]))


def _poses_words(summary: Summary) -> str:
    if summary.registered == summary.keyframes:
        placed = f"All {summary.keyframes} chosen frames found their place in space"
    else:
        placed = f"{summary.registered} of {summary.keyframes} chosen frames found their place in space"
    return f"{placed}, to within {summary.rms_px:.2f} pixels." if summary.rms_px is not None else f"{placed}."


def _likeness_words(psnr_db: float | None) -> str:
    if psnr_db is None:
        return "No frame was kept back, so its likeness to unseen views was not measured."
    words = "are only roughly matched"
    for limit_db, better in (
        (FAIR_DB, "are matched, if softly"),
        (GOOD_DB, "are matched closely"),
        (FINE_DB, "are matched very closely"),
    ):
        if psnr_db >= limit_db:
            words = better
    return f"Views that the training never saw {words} ({psnr_db:.1f} dB)."


def _detail_words(summary: Summary) -> str:
    if summary.detail == Detail.FULL:
        return ""
    if summary.draft:
        return "This is a draft: the splat at full detail follows."
    if summary.detail == Detail.PREVIEW:
        return "Preview detail tells whether the capture works: full detail draws the same frames finer."
    return "Full detail would draw the same frames finer."


def _known(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
