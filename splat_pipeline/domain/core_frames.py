"""Which frames a splat of marginal poses does without: those that nothing ties to the rest, and the least sure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from splat_pipeline.domain.formats.colmap import ColmapModel
from splat_pipeline.domain.metrics.poses import parts_of
from splat_pipeline.domain.poses import IMAGE_FOLDER

UNSURE = 0.25
"""Of the median confidence of the job: below, a pose displaces the picture many times as far as its neighbours do."""
MOST = 0.2
"""Of the frames of the core that are left out for it: without them whole sides of a scene may be lost."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Frames by keyframe_id."""

    outside: frozenset[int]
    """The largest part of the reconstruction."""
    unsure: frozenset[int]

    @property
    def all(self) -> frozenset[int]:
        """Both."""
        return self.outside | self.unsure

    @property
    def words(self) -> str:
        """Say how many, and why."""
        return (
            f"{len(self.all)} frames are left out of the training: {len(self.outside)} outside the core of the "
            f"reconstruction, {len(self.unsure)} with unsure poses"
        )


def left_out(poses: pd.DataFrame, keyframes: pd.DataFrame, model: ColmapModel) -> LeftOut:
    """Return which registered frames are left out. Rows of ``tables.POSES`` and ``tables.KEYFRAMES``."""
    core = (parts_of(model) or [set()])[0]
    files = keyframes.set_index("keyframe_id")["file"].str.removeprefix(IMAGE_FOLDER)
    found = poses[poses["registered"]].set_index("keyframe_id")["pose_confidence"]
    outside = [int(i) for i in found.index if files.loc[i] not in core]
    inside = found.drop(index=outside)
    unsure = inside[inside < UNSURE * inside.median()].nsmallest(int(MOST * len(inside)))
    return LeftOut(outside=frozenset(outside), unsure=frozenset(int(i) for i in unsure.index))
