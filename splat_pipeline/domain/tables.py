"""Every table of the pipeline, written and read through one strict door; their columns are in ``schemas``.

A table with a missing, an extra or a mistyped column raises ``BadTable`` and names the column. Columns that are added
later are nullable: in a file that was written before them they are read as empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from splat_pipeline.domain.errors import BadTable
from splat_pipeline.domain.schemas.footage import DECISIONS, FRAMES, GIVEN, KEYFRAMES, POSITIONS, SEGMENTS, VIDEOS
from splat_pipeline.domain.schemas.jobs import CORRECTIONS, FREED, GATES, STAGES
from splat_pipeline.domain.schemas.reconstruction import (
    ALIGNMENT,
    ATTEMPTS,
    FEATURES,
    LINKS,
    LOOPS,
    PAIRS,
    POINTS,
    POSES,
    WINDOWS,
)
from splat_pipeline.domain.schemas.spec import Column, TableSpec
from splat_pipeline.domain.schemas.splats import CLEANING, CONTRIBUTIONS, FORMATS, HELDOUT, LADDER, TRAINING

__all__ = [
    "ALIGNMENT",
    "ALL",
    "ATTEMPTS",
    "CLEANING",
    "CONTRIBUTIONS",
    "CORRECTIONS",
    "DECISIONS",
    "FEATURES",
    "FORMATS",
    "FRAMES",
    "FREED",
    "GATES",
    "GIVEN",
    "HELDOUT",
    "KEYFRAMES",
    "LADDER",
    "LINKS",
    "LOOPS",
    "PAIRS",
    "POINTS",
    "POSES",
    "POSITIONS",
    "SEGMENTS",
    "STAGES",
    "TRAINING",
    "VIDEOS",
    "WINDOWS",
    "Column",
    "TableSpec",
    "read_rows",
    "read_table",
    "to_table",
    "write_table",
]

CROSS_JOB = (GATES, STAGES, FREED, CORRECTIONS)
"""Tables over all jobs, which grow with every run."""

ALL: tuple[TableSpec, ...] = (
    VIDEOS, POSITIONS, FRAMES, SEGMENTS, KEYFRAMES, DECISIONS, GIVEN, FEATURES, PAIRS, LINKS, WINDOWS, ATTEMPTS, POSES,
    LOOPS, ALIGNMENT, POINTS, TRAINING, HELDOUT, LADDER, CLEANING, CONTRIBUTIONS, FORMATS,
    GATES, STAGES, CORRECTIONS, FREED,
)  # fmt: skip


def to_table(spec: TableSpec, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return ``rows`` as an Arrow table of exactly the columns of ``spec``; NaN in a float column becomes null.

    Raises ``BadTable`` naming the column that is missing, extra, mistyped or null where it must not be.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=_columns(spec, rows))
    _same_columns(spec, list(frame.columns))
    arrays = []
    for column in spec.columns:
        values = [None if _is_null(v) else v for v in frame[column.name].tolist()]
        try:
            array = pa.array(values, type=column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise BadTable(f"{spec.name}.{column.name} must be {column.type}: {error}") from None
        if array.null_count and not column.nullable:
            raise BadTable(f"{spec.name}.{column.name} has {array.null_count} empty values and must have none")
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def write_table(path: Path, spec: TableSpec, rows: pd.DataFrame | Iterable[Mapping[str, Any]]) -> None:
    """Write ``rows`` to ``path`` as zstd Parquet. Raises as ``to_table``."""
    pq.write_table(to_table(spec, rows), path, compression="zstd")


def read_table(path: Path, spec: TableSpec) -> pd.DataFrame:
    """Read a table that ``write_table`` wrote. Raises ``BadTable`` when it is something else."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadTable(f"{path.name} cannot be read as {spec.name}: {error}", file=path.name) from None
    for column in spec.columns:
        if column.nullable and column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, column.type))
    _same_columns(spec, table.column_names)
    for column in spec.columns:
        if table.schema.field(column.name).type != column.type:
            got = table.schema.field(column.name).type
            raise BadTable(f"{spec.name}.{column.name} must be {column.type}, is {got}", file=path.name)
    frame: pd.DataFrame = table.select([column.name for column in spec.columns]).to_pandas()
    return frame


def read_rows(path: Path, spec: TableSpec) -> list[dict[str, Any]]:
    """Read a table as ``read_table`` does, row by row; an empty float is NaN, any other empty value None."""
    frame = read_table(path, spec)
    words = [column.name for column in spec.columns if pa.types.is_string(column.type)]
    frame = frame.astype(dict.fromkeys(words, object)).where(frame.notna() | ~frame.columns.isin(words), None)
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _columns(spec: TableSpec, rows: Iterable[Mapping[str, Any]]) -> list[str] | None:
    return None if isinstance(rows, Sequence) and len(rows) else [c.name for c in spec.columns]


def _same_columns(spec: TableSpec, got: Sequence[str]) -> None:
    want = [c.name for c in spec.columns]
    for name in want:
        if name not in got:
            raise BadTable(f"{spec.name} lacks the column {name}")
    for name in got:
        if name not in want:
            raise BadTable(f"{spec.name} has an unknown column {name}")


def _is_null(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)  # noqa: PLR0124  # NaN
