"""A cross-job table that grows, read as it grows: its parts never change, so each is read once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from resources.parts import READS, is_day, local_part, parts_of, read_part, replaced_by
from splat_pipeline.domain.tables import TableSpec
from splat_pipeline.ports.stores import Place

AT_ONCE = 2000
"""Parts that are read in one go, the newest first: whoever asks is not kept waiting by a long history."""


class Followed:
    """One table of a store, for a process that asks again and again."""

    def __init__(self, place: Place, spec: TableSpec) -> None:
        """Remember where. ``place``: root of the store."""
        self._place, self._spec = place, spec
        self._seen: set[str] = set()
        self._days: dict[str, set[str]] = {}
        """What each part of a day replaces."""
        self._frame = pd.DataFrame({column.name: [] for column in spec.columns})

    def rows(self) -> pd.DataFrame:
        """Return all rows that were read so far, with up to ``AT_ONCE`` new parts."""
        for _ in range(READS):
            try:
                return self._read_on()
            except FileNotFoundError:  # a day's part took its place since it was listed
                continue
        return self._frame

    def _read_on(self) -> pd.DataFrame:
        found = parts_of(self._place, self._spec)
        with tempfile.TemporaryDirectory(prefix="splat-parts-") as name:
            folder = Path(name)
            days = {name for name in found if is_day(name)} - self._days.keys()
            told = {day: replaced_by(local_part(self._place, day, folder)) for day in sorted(days)}
            for day, replaced in told.items():
                self._days[day] = replaced
                if replaced <= self._seen:
                    self._seen.add(day)  # its rows are known already
                elif replaced & self._seen:  # some of them: which ones is not told
                    self._seen, self._frame = set(), self._frame.iloc[:0]
            gone = set().union(*self._days.values())
            new = [name for name in found if name not in self._seen and name not in gone]
            new = sorted(new, key=lambda name: found[name].modified_ns, reverse=True)[:AT_ONCE]
            frames = [read_part(local_part(self._place, name, folder), self._spec) for name in new]
        if frames:
            known = [self._frame] if len(self._frame) else []
            self._frame = pd.concat([*known, *frames], ignore_index=True)
            self._seen.update(new)
        return self._frame
