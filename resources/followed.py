"""A cross-job table that grows, read as it grows: its parts never change, so each is read once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from splat_pipeline.domain.tables import TableSpec, read_table
from splat_pipeline.ports.stores import Place

AT_ONCE = 2000
"""Parts that are read in one go, the newest first: whoever asks is not kept waiting by a long history."""


class Followed:
    """One table of a store, for a process that asks again and again."""

    def __init__(self, place: Place, spec: TableSpec) -> None:
        """Remember where. ``place``: root of the store."""
        self._place, self._spec = place, spec
        self._seen: set[str] = set()
        self._frame = pd.DataFrame({column.name: [] for column in spec.columns})

    def rows(self) -> pd.DataFrame:
        """Return all rows that were read so far, with up to ``AT_ONCE`` new parts."""
        found = self._place.find(f"tables/{self._spec.name}.parquet")
        new = [name for name in found if "/part-" in name and name not in self._seen]
        new = sorted(new, key=lambda name: found[name].modified_ns, reverse=True)[:AT_ONCE]
        if new:
            frames = [self._read(name) for name in new]
            known = [self._frame] if len(self._frame) else []
            self._frame = pd.concat([*known, *frames], ignore_index=True)
            self._seen.update(new)
        return self._frame

    def _read(self, name: str) -> pd.DataFrame:
        here = self._place.here(name)
        if here is not None:
            return read_table(here, self._spec)
        with tempfile.TemporaryDirectory(prefix="splat-part-") as folder:
            copy = Path(folder) / "part.parquet"
            self._place.fetch(name, copy)
            return read_table(copy, self._spec)
