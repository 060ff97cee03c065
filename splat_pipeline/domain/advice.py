"""What the person who filmed can do better, out of what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from splat_pipeline.domain.errors import Blurred, InputError, NoTexture, PoseError, StaticCamera
from splat_pipeline.domain.gaps import Gap
from splat_pipeline.domain.quality import Verdict

MANY = 0.15
"""Share of a clip's frames that is worth a word."""
SOFT_DB = 24.0
"""Below this an unseen view is matched softly (see ``report.GOOD_DB``), whatever the gates say."""
FAULTS = {
    "blurred": ("blurred", Blurred.remedy),
    "badly exposed": ("mostly black or white", "Film again with the exposure locked, in even light."),
    "bare": ("without detail", NoTexture.remedy),
    "duplicate": ("repeated", StaticCamera.remedy),
}
"""By the reject_reason of frames (``scoring``): what it says of them, and what to do."""


def advice_of(
    gates: Sequence[Verdict],
    missing: Sequence[Gap],
    rejected: Mapping[str, Mapping[str, float]],
    *,
    names: Mapping[str, str],
    psnr_heldout_db: float | None,
) -> tuple[str, ...]:
    """Return advice, the most important first; empty where nothing could be better.

    ``rejected``: by video_id, the share of analysed frames for each reject_reason. ``names``: of clips, by video_id.
    """
    filmed = [gate for gate in gates if not gate.passed and issubclass(gate.limit.error, InputError | PoseError)]
    said = [f"{gate.gate.replace('_', ' ')}: {gate.limit.error.remedy}" for gate in filmed]
    said += [
        _gap(gap, names.get(gap.video_id, gap.video_id)) for gap in sorted(missing, key=lambda g: -g.keyframes)[:3]
    ]
    for video_id, shares in rejected.items():
        for reason, share in sorted(shares.items(), key=lambda item: -item[1]):
            if reason in FAULTS and share >= MANY:
                what, remedy = FAULTS[reason]
                said.append(f"{names.get(video_id, video_id)}: {share:.0%} of the frames are {what}. {remedy}")
    if psnr_heldout_db is not None and psnr_heldout_db < SOFT_DB:
        said.append(
            "Unseen views are matched softly: film every part of the scene from more sides and from nearer, "
            "with steady light, and ask for full detail."
        )
    return tuple(dict.fromkeys(said))


def _gap(gap: Gap, name: str) -> str:
    return (
        f"{name}, {gap.first_s:.1f} to {gap.last_s:.1f} s: no pose was found for {gap.keyframes} frames. Film this "
        "stretch again: slower, and with what comes before and after it in view."
    )
