"""The parts of a cross-job table: one a writer and moment, and those of a day that is over in one.

    <table>/part-<id>.parquet          rows as they were written
    <table>/part-day-<date>.parquet    all that was written on a day (UTC); its metadata names what it replaces

A day's part is made once, by one exclusive write, and counts from then on: whatever it replaces is passed over, until
it is removed and if it never is. So nobody reads a row twice or misses one, whatever dies in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from splat_pipeline.domain.errors import BadTable, StoreUnavailable
from splat_pipeline.domain.tables import TableSpec, read_table, to_table
from splat_pipeline.ports.stores import FileFacts, Place

DAY = "part-day-"
REPLACES = b"replaces"
FEWEST = 2
"""Parts of a day that are worth one."""
READS = 3
"""A listing can be out of date when its parts are read: so often another one is asked for."""


def table_home(spec: TableSpec) -> str:
    """Return where the parts of a table lie in a store."""
    return f"tables/{spec.name}.parquet"


def parts_of(place: Place, spec: TableSpec) -> dict[str, FileFacts]:
    """Return every part that lies there, those that are replaced too."""
    return {name: facts for name, facts in place.find(table_home(spec)).items() if "/part-" in name}


def is_day(name: str) -> bool:
    """Tell whether a part is that of a day."""
    return name.rsplit("/", 1)[-1].startswith(DAY)


def local_part(place: Place, name: str, folder: Path) -> Path:
    """Return a part as a file of this machine. Raises ``FileNotFoundError``."""
    here = place.here(name)
    if here is None:
        here = folder / Path(name).name
        if not here.exists():
            place.fetch(name, here)
    return here


def replaced_by(path: Path) -> set[str]:
    """Return the names of the parts that a day's part replaces. Raises ``FileNotFoundError``."""
    told = pq.read_schema(path).metadata or {}
    return set(json.loads(told.get(REPLACES, b"[]")))


def read_part(path: Path, spec: TableSpec) -> pd.DataFrame:
    """Return the rows of a part. Raises ``FileNotFoundError``, ``BadTable``."""
    try:
        return read_table(path, spec)
    except BadTable:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise


def all_rows(place: Place, spec: TableSpec, folder: Path) -> pd.DataFrame:
    """Return every row of a table, in the order of writing. ``folder``: for what is fetched."""
    for _ in range(READS):
        try:
            return _rows(place, spec, parts_of(place, spec), folder)
        except FileNotFoundError:  # a day's part took its place since it was listed
            continue
    raise StoreUnavailable(f"the parts of {spec.name} changed {READS} times while they were read")


def _rows(place: Place, spec: TableSpec, found: Mapping[str, FileFacts], folder: Path) -> pd.DataFrame:
    days = [local_part(place, name, folder) for name in found if is_day(name)]
    gone = set().union(*(replaced_by(path) for path in days))
    # Rows tell whole seconds; within one, the order of the files is the order of writing.
    names = sorted(found.keys() - gone, key=lambda name: (found[name].modified_ns, name))
    frames = [read_part(local_part(place, name, folder), spec) for name in names]
    if not frames:
        return pd.DataFrame(columns=[column.name for column in spec.columns])
    return pd.concat(frames, ignore_index=True)


def merge_days(place: Place, spec: TableSpec, folder: Path, *, now_s: float) -> int:
    """Put the parts of each day before yesterday into one; return how many parts went.

    A day is one by the clock of where the table lies; two are left alone, so that nothing is still being written.
    """
    found = parts_of(place, spec)
    last = _date(int((now_s - 2 * 86_400) * 1e9))
    single = sorted((facts.modified_ns, name) for name, facts in found.items() if not is_day(name))
    gone = 0
    for date, group in groupby(single, key=lambda each: _date(each[0])):
        names = [name for _, name in group]
        day = f"{table_home(spec)}/{DAY}{date}.parquet"
        if date <= last and (day in found or len(names) >= FEWEST):
            gone += _merge(place, spec, day, names, folder)
    return gone


def _merge(place: Place, spec: TableSpec, day: str, names: Iterable[str], folder: Path) -> int:
    try:
        rows = pd.concat([read_part(local_part(place, name, folder), spec) for name in names], ignore_index=True)
    except FileNotFoundError:
        return 0  # somebody else merges this day
    table = to_table(spec, rows)
    sink = pa.BufferOutputStream()
    told = {**(table.schema.metadata or {}), REPLACES: json.dumps(sorted(names)).encode()}
    pq.write_table(table.replace_schema_metadata(told), sink, compression="zstd")
    place.create(day, sink.getvalue().to_pybytes())  # False: the day was merged before, of what its metadata names
    gone = replaced_by(local_part(place, day, folder)) & parts_of(place, spec).keys()
    for name in gone:
        place.remove(name)
    return len(gone)


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y%m%d")
