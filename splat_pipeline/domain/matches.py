"""The match graph of a job: every pair of images that was tried, with the matches that were verified.

Matching is what structure from motion spends its time on: it is done once, and every window and the loops take from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from splat_pipeline.domain.errors import BadTable
from splat_pipeline.domain.tables import PAIRS, to_table

Float = NDArray[np.float64]

BATCH = 512
FLAT = frozenset({"PLANAR", "PANORAMIC", "PLANAR_OR_PANORAMIC"})
"""A homography explains both images: from such pairs alone no shape follows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchedPair:
    """Two images, by their paths in the images folder, and M verified matches."""

    first: str
    second: str
    far: bool
    """Found by looks."""
    matches: NDArray[np.uint32]
    """(M, 2) positions of keypoints in ``first`` and ``second``; none: tried in vain."""
    config: str | None = None
    geometry: Float | None = None
    """(3, 3, 3): F, E, H; NaN where unknown."""
    second_from_first: Float | None = None
    """(3, 4), translation of length 1."""

    @property
    def inliers(self) -> int:
        """How many matches were verified."""
        return len(self.matches)

    def row(self) -> dict[str, Any]:
        """Return the row of ``tables.PAIRS``."""
        return {
            "first": self.first,
            "second": self.second,
            "far": self.far,
            "inliers": self.inliers,
            "config": self.config,
            "geometry": None if self.geometry is None else self.geometry.astype("<f8").tobytes(),
            "second_from_first": None
            if self.second_from_first is None
            else self.second_from_first.astype("<f8").tobytes(),
            "matches": self.matches.astype("<u4").tobytes(),
        }


def write_pairs(path: Path, pairs: Iterable[MatchedPair]) -> None:
    """Write a match graph, some pairs at a time."""
    with pq.ParquetWriter(path, PAIRS.schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for pair in pairs:
            rows.append(pair.row())
            if len(rows) == BATCH:
                writer.write_table(to_table(PAIRS, rows))
                rows = []
        writer.write_table(to_table(PAIRS, rows))


def read_pairs(path: Path, among: Collection[str] | None = None) -> Iterator[MatchedPair]:
    """Yield the pairs whose images are both ``among`` these; all, when None. Raises ``BadTable``."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadTable(f"{path.name} cannot be read as matches: {error}", file=path.name) from None
    with file:
        if not file.schema_arrow.equals(PAIRS.schema):
            raise BadTable(f"{path.name} is not a table of matches", file=path.name)
        for batch in file.iter_batches(batch_size=BATCH):
            for row in batch.to_pylist():
                if among is None or (row["first"] in among and row["second"] in among):
                    yield _pair(row, path)


def _pair(row: dict[str, Any], path: Path) -> MatchedPair:
    matches = np.frombuffer(row["matches"], "<u4").reshape(-1, 2)
    if len(matches) != row["inliers"]:
        named = f"{row['first']} and {row['second']}"
        raise BadTable(f"{path.name}: {named} have not as many matches as it says", file=path.name)
    return MatchedPair(
        first=row["first"],
        second=row["second"],
        far=row["far"],
        matches=matches,
        config=row["config"],
        geometry=None if row["geometry"] is None else np.frombuffer(row["geometry"], "<f8").reshape(3, 3, 3),
        second_from_first=None
        if row["second_from_first"] is None
        else np.frombuffer(row["second_from_first"], "<f8").reshape(3, 4),
    )
