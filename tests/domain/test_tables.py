"""A table that is not exactly as its specification says is refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from splat_pipeline.domain import tables
from splat_pipeline.domain.errors import BadTable

ROW = {"keyframe_id": 3, "psnr_db": 31.5, "ssim": 0.9, "psnr_corrected_db": 32.0}


def test_rows_survive_a_round_trip_with_their_types(tmp_path: Path):
    tables.write_table(tmp_path / "t.parquet", tables.HELDOUT, [ROW])
    frame = tables.read_table(tmp_path / "t.parquet", tables.HELDOUT)
    assert frame.to_dict("records") == [pytest.approx(ROW)]
    assert str(frame["keyframe_id"].dtype) == "int32"


def test_units_and_docs_are_written_into_the_file(tmp_path: Path):
    tables.write_table(tmp_path / "t.parquet", tables.HELDOUT, [ROW])
    assert pq.read_schema(tmp_path / "t.parquet").field("psnr_db").metadata[b"unit"] == b"dB"


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"keyframe_id": 3, "psnr_db": 31.5}, "ssim"),
        ({"keyframe_id": 3, "psnr_db": 31.5, "ssim": 0.9}, "psnr_corrected_db"),
        ({**ROW, "extra": 1}, "extra"),
        ({**ROW, "keyframe_id": "three"}, "keyframe_id"),
        ({**ROW, "keyframe_id": None}, "keyframe_id"),
        ({**ROW, "psnr_db": float("nan")}, "psnr_db"),
    ],
)
def test_a_wrong_column_is_refused_by_name(row: dict[str, object], named: str):
    with pytest.raises(BadTable, match=named):
        tables.to_table(tables.HELDOUT, [row])


def test_no_rows_make_an_empty_table_with_all_columns(tmp_path: Path):
    tables.write_table(tmp_path / "t.parquet", tables.LOOPS, [])
    frame = tables.read_table(tmp_path / "t.parquet", tables.LOOPS)
    assert list(frame.columns) == [c.name for c in tables.LOOPS.columns]
    assert len(frame) == 0


def test_unknown_numbers_become_null_and_not_zero():
    row = {c.name: None for c in tables.POSES.columns}
    row |= {"keyframe_id": 0, "registered": False, "window_ids": [], "pose_confidence": 0.0, "qw": float("nan")}
    table = tables.to_table(tables.POSES, pd.DataFrame([row]))
    assert table["qw"].null_count == table["tx"].null_count == 1


def test_a_file_of_another_table_is_refused(tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    with pytest.raises(BadTable, match="keyframe_id"):
        tables.read_table(tmp_path / "t.parquet", tables.HELDOUT)
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(BadTable, match=r"no\.parquet"):
        tables.read_table(tmp_path / "no.parquet", tables.HELDOUT)


def test_a_file_from_before_a_column_was_added_reads_as_empty_there(tmp_path: Path):
    older = tables.to_table(tables.HELDOUT, [ROW]).drop_columns(["psnr_corrected_db"])
    pq.write_table(older, tmp_path / "t.parquet")
    frame = tables.read_table(tmp_path / "t.parquet", tables.HELDOUT)
    assert list(frame.columns) == list(ROW)
    assert frame["psnr_corrected_db"].isna().all()


def test_every_table_and_column_is_named_once_and_documented():
    assert len({spec.name for spec in tables.ALL}) == len(tables.ALL)
    for spec in tables.ALL:
        names = [column.name for column in spec.columns]
        assert len(set(names)) == len(names), spec.name


def test_rows_have_none_for_words_that_are_missing_and_nan_for_numbers(tmp_path: Path) -> None:
    row = {"format": "ply", "file": "a.ply", "size_bytes": 1, "gaussians": 1, "max_error": 0.0, "axes": "y down"}
    row |= {"left_out": None, "wanted": 1, "unread_share": 0.0, "box_error": None}
    rows = [row | {"lost": "all", "psnr_db": 30.0}, row | {"lost": None, "psnr_db": None}]
    tables.write_table(tmp_path / "formats.parquet", tables.FORMATS, rows)
    first, second = tables.read_rows(tmp_path / "formats.parquet", tables.FORMATS)
    assert (first["lost"], second["lost"], first["psnr_db"]) == ("all", None, 30.0)
    assert second["psnr_db"] != second["psnr_db"]  # NaN
