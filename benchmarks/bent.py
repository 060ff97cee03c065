"""What the gates on consistency say of the jobs of an installation, as they are and after their cameras were bent.

    python benchmarks/bent.py --home ~/splat --degrees 3 10

Each step from one camera to the next is turned by a little more about the camera's vertical axis, so many degrees over
the whole way: neighbours hardly differ, and a loop no longer closes. Points stay: only matches and poses are asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from resources.stores import FileStore
from splat_pipeline.assets.footage import PAIRS_FILE, names_of
from splat_pipeline.domain.errors import ArtifactError
from splat_pipeline.domain.formats.colmap import ColmapModel, read_model
from splat_pipeline.domain.matches import read_pairs
from splat_pipeline.domain.metrics.consistency import consistency_metrics
from splat_pipeline.domain.poses import cam_from_world
from splat_pipeline.domain.quality import judge_all
from splat_pipeline.domain.rigid import inverse, quat_from_rotation, rigid
from splat_pipeline.domain.tables import KEYFRAMES, read_table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each job and degree."""
    args = options().parse_args(arguments)
    home = args.home.expanduser()
    store = FileStore(home / "store", home / "delivered")
    for job in store.jobs():
        try:
            for line in told(store, job, [0.0, *args.degrees]):
                sys.stdout.write(f"{job} {line}\n")
        except ArtifactError as error:
            sys.stdout.write(f"{job} has no poses: {error}\n")


def options() -> argparse.ArgumentParser:
    """Return what the command line takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="SPLAT__HOME of an installation with jobs")
    parser.add_argument("--degrees", type=float, nargs="*", default=[3.0, 10.0], help="over the whole way")
    return parser


def told(store: FileStore, job: str, degrees: Sequence[float]) -> Iterator[str]:
    """Yield the metrics of a job for each bend, and the gates that fail."""
    keyframes = read_table(store.fetch(job, "keyframes").folder / "keyframes.parquet", KEYFRAMES)
    positions = {name: i for i, name in enumerate(names_of(keyframes))}
    model = read_model(store.fetch(job, "camera_poses").folder / "sparse")
    pairs = list(read_pairs(store.fetch(job, "match_graph").folder / PAIRS_FILE, positions))
    for bend in degrees:
        metrics = consistency_metrics(bent(model, positions, bend), pairs, positions, seed=0)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None)
        failed = [verdict.gate for verdict in judge_all(metrics) if not verdict.passed]
        yield f"bent by {bend:g}: {shown}; fails {', '.join(failed) or 'nothing'}"


def bent(model: ColmapModel, positions: dict[str, int], degrees: float) -> ColmapModel:
    """Return the model with its cameras turned bit by bit, in order of clip and time."""
    order = sorted(model.images, key=lambda image_id: positions[model.images[image_id].name])
    extra = rigid(Rotation.from_euler("y", degrees / max(1, len(order)), degrees=True).as_matrix(), np.zeros(3))
    poses = [cam_from_world(model, image_id) for image_id in order]
    made = poses[:1]
    for before, after in pairwise(poses):
        made.append(extra @ after @ inverse(before) @ made[-1])
    images = {
        image_id: replace(model.images[image_id], quat=quat_from_rotation(pose[:3, :3]), translation=pose[:3, 3])
        for image_id, pose in zip(order, made, strict=True)
    }
    return replace(model, images=images)


if __name__ == "__main__":
    main()
