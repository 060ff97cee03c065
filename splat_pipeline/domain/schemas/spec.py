"""What a table is: columns, types, units, what they mean.

One letter a type keeps a column on a line: S string, F and D floating point of 32 and 64 bits, I and L integer of 32
and 64, B true or false.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column. ``unit`` is "" for names, counts and ratios."""

    name: str
    type: pa.DataType
    unit: str
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One table of the data model."""

    name: str
    version: int
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with unit and doc in each field's metadata."""
        return pa.schema(
            [pa.field(c.name, c.type, c.nullable, {"unit": c.unit, "doc": c.doc}) for c in self.columns],
            metadata={"table": self.name, "version": str(self.version)},
        )


S, F, D, I, L, B = pa.string(), pa.float32(), pa.float64(), pa.int32(), pa.int64(), pa.bool_()
STRINGS = pa.list_(pa.string())
