"""Local features on disk: one Parquet file a segment, one row an image, read and written image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadTable, MissingArtifact
from splat_pipeline.domain.tables import FEATURES, to_table

KEYPOINT, DESCRIPTOR = 6, 128
BATCH = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFeatures:
    """K features of one image."""

    image: str
    width_px: int
    height_px: int
    keypoints: NDArray[np.float32]
    """(K, 6) x y a11 a12 a21 a22."""
    descriptors: NDArray[np.uint8]
    """(K, 128)."""


def segment_of(image: str) -> str:
    """Return the folder that an image lies in: its segment."""
    return PurePosixPath(image).parent.name


def write_features(path: Path, rows: Iterable[ImageFeatures]) -> None:
    """Write the images of one segment."""
    with pq.ParquetWriter(path, FEATURES.schema, compression="zstd") as writer:
        for row in rows:
            values = {
                "image": row.image,
                "width_px": row.width_px,
                "height_px": row.height_px,
                "count": len(row.keypoints),
                "keypoints": row.keypoints.astype("<f4").tobytes(),
                "descriptors": row.descriptors.tobytes(),
            }
            writer.write_table(to_table(FEATURES, [values]))


def read_features(folder: Path, images: Sequence[str]) -> Iterator[ImageFeatures]:
    """Yield the features of ``images``, segment by segment. Raises ``MissingArtifact`` for an absent image."""
    wanted = set(images)
    for segment in dict.fromkeys(segment_of(image) for image in images):
        for row in _rows(folder / f"{segment}.parquet"):
            if row.image in wanted:
                wanted.remove(row.image)
                yield row
    if wanted:
        raise _without(wanted)


def image_sizes(folder: Path, images: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return (width_px, height_px) of ``images`` as their features say. Raises as ``read_features``."""
    sizes: dict[str, tuple[int, int]] = {}
    for segment in dict.fromkeys(segment_of(image) for image in images):
        with _opened(folder / f"{segment}.parquet") as file:
            rows = file.read(columns=["image", "width_px", "height_px"]).to_pylist()
        sizes |= {row["image"]: (row["width_px"], row["height_px"]) for row in rows}
    absent = set(images) - set(sizes)
    if absent:
        raise _without(absent)
    return {image: sizes[image] for image in images}


def _without(images: set[str]) -> MissingArtifact:
    return MissingArtifact(f"{len(images)} images have no features, e.g. {min(images)}")


def _rows(path: Path) -> Iterator[ImageFeatures]:
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                keypoints = np.frombuffer(row["keypoints"], "<f4").reshape(-1, KEYPOINT)
                descriptors = np.frombuffer(row["descriptors"], np.uint8).reshape(-1, DESCRIPTOR)
                if not len(keypoints) == len(descriptors) == row["count"]:
                    raise BadTable(f"{path.name}: {row['image']} has not as many features as it says", file=path.name)
                yield ImageFeatures(
                    image=row["image"],
                    width_px=row["width_px"],
                    height_px=row["height_px"],
                    keypoints=keypoints,
                    descriptors=descriptors,
                )


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadTable(f"{path.name} cannot be read as features: {error}", file=path.name) from None
    with file:
        if not file.schema_arrow.equals(FEATURES.schema):
            raise BadTable(f"{path.name} is not a table of features", file=path.name)
        yield file
