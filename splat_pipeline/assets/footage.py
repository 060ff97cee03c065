"""What a window is reconstructed from: keyframes and the frames that link them, with their features and matches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pandas as pd

from splat_pipeline.assets.stages import Work
from splat_pipeline.domain.formats.colmap import read_model
from splat_pipeline.domain.links import of_window, woven
from splat_pipeline.domain.matches import read_pairs, write_pairs
from splat_pipeline.domain.tables import KEYFRAMES, LINKS, read_table
from splat_pipeline.domain.windows import Window
from splat_pipeline.ports.sfm import Attempt

IMAGES, FEATURES = "images", "features"
PAIRS_FILE = "pairs.parquet"
LINKING = "linking_frames"


def names_of(frames: pd.DataFrame) -> list[str]:
    """Images are named relative to the artifact's images folder."""
    return [file.removeprefix(f"{IMAGES}/") for file in frames["file"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Footage:
    """The frames of a window, in order of clip and time, and where their images, features and matches lie."""

    frames: pd.DataFrame
    """See ``domain.links.woven``."""
    images: Path
    features: Path
    graph: Path

    @property
    def keyframes(self) -> list[str]:
        """Names of the images that poses are wanted of."""
        return names_of(self.frames[~self.frames["link"]])

    def counted(self, attempt: Attempt, model: Path) -> Attempt:
        """Return what an attempt that wrote ``model`` gave, with the keyframes alone counted as registered."""
        if not attempt.registered or not self.frames["link"].any():
            return attempt
        wanted = set(self.keyframes)
        registered = sum(image.name in wanted for image in read_model(model).images.values())
        return replace(attempt, registered=registered, outcome="model" if registered else "failed")


def footage_of(work: Work, window: Window, scratch: Path) -> Footage:
    """Return the footage of a window; with linking frames in it, all that is read is put together in ``scratch``."""
    keyframes, linking = work.input("keyframes"), work.input(LINKING)
    frames = of_window(
        woven(
            read_table(keyframes / "keyframes.parquet", KEYFRAMES),
            read_table(linking / "links.parquet", LINKS),
        ),
        window,
    )
    graph, features = work.input("match_graph") / PAIRS_FILE, work.input("features") / FEATURES
    if not frames["link"].any():
        return Footage(frames=frames, images=keyframes / IMAGES, features=features, graph=graph)
    names = set(names_of(frames))
    put_together([keyframes / IMAGES, linking / IMAGES], scratch / IMAGES)
    put_together([features, linking / FEATURES], scratch / FEATURES)
    write_pairs(scratch / PAIRS_FILE, chain(read_pairs(graph, names), read_pairs(linking / PAIRS_FILE, names)))
    return Footage(frames=frames, images=scratch / IMAGES, features=scratch / FEATURES, graph=scratch / PAIRS_FILE)


def put_together(folders: Iterable[Path], together: Path) -> None:
    """Make one folder of what lies in several, by symbolic links: nothing is copied."""
    together.mkdir(parents=True)
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            (together / entry.name).symlink_to(entry.resolve())
