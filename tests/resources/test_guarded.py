"""A child process looks into uploads: it says what the reader itself would, and what breaks it breaks nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources import guarded
from resources.clips import DamagedError, Decoder
from resources.guarded import GuardedReader
from resources.media import PyAvReader
from splat_pipeline.domain.errors import BadTable, InputError, NoVideoStream, TooLong, UnreadableMedia, UnsafeUpload
from splat_pipeline.domain.frames import FrameMeasure, FrameRef
from splat_pipeline.domain.tables import FRAMES, write_table


@pytest.fixture(scope="module")
def clip(tmp_path_factory, film, walk) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "walk.mp4", walk(40, step_px=4), fps=20)


def bare(measure: FrameMeasure) -> FrameMeasure:
    return dataclasses.replace(measure, thumbnail=None)


def test_it_says_and_writes_what_the_reader_itself_does(clip: Path, tmp_path: Path) -> None:
    inner, outer = PyAvReader(), GuardedReader()
    facts = outer.probe(clip)
    assert facts == inner.probe(clip)
    options = {"fps": 10, "longer_side_px": 160, "say": lambda _: None}
    ours, theirs = list(outer.measure(clip, facts, **options)), list(inner.measure(clip, facts, **options))
    assert [bare(measure) for measure in ours] == [bare(measure) for measure in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.thumbnail.astype(int) - other.thumbnail).mean() < 4  # a JPEG on the way
    refs = [FrameRef(name="a", frame_index=3, pts_s=0.15)]
    written = []
    for i, reader in enumerate((inner, outer)):
        (tmp_path / str(i)).mkdir()
        written.append(reader.extract(clip, facts, refs, tmp_path / str(i), longer_side_px=160, quality=90))
    assert written[0] == written[1] == [("a.jpg", 160, 120)]
    assert (tmp_path / "0" / "a.jpg").read_bytes() == (tmp_path / "1" / "a.jpg").read_bytes()


def test_photos_come_through_too(tmp_path: Path, walk) -> None:
    from PIL import Image

    for i, picture in enumerate(walk(9, step_px=10)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"\x89PNG broken")
    facts = GuardedReader().probe(tmp_path)
    assert facts == PyAvReader().probe(tmp_path)
    assert list(facts.rejected) == ["4.png"]
    assert len(list(GuardedReader().measure(tmp_path, facts, fps=10, longer_side_px=160, say=lambda _: None))) == 8


def test_positions_come_through_and_refusals_name_their_file(clip: Path, tmp_path: Path) -> None:
    beside = tmp_path / "walk.srt"
    beside.write_text("1\n00:00:00,500 --> 00:00:01,000\n[latitude: 47.1] [longitude: 8.2] [altitude: 430.5]\n")
    inner, outer = PyAvReader(), GuardedReader()
    facts = inner.probe(clip)
    track = outer.positions(clip, facts, subtitles=beside)
    assert track == inner.positions(clip, facts, subtitles=beside)
    assert track.fixes[0].alt_m == 430.5
    assert outer.positions(clip, facts, subtitles=None) is None
    (tmp_path / "link.srt").symlink_to(beside)
    with pytest.raises(UnsafeUpload, match=r"link\.srt"):
        outer.positions(clip, facts, subtitles=tmp_path / "link.srt")


@pytest.mark.parametrize(
    ("name", "error"), [("audio_only.mp4", NoVideoStream), ("truncated_no_moov.mp4", UnreadableMedia)]
)
def test_what_the_child_found_wrong_is_told_here(name: str, error: type, shared_data: Path) -> None:
    with pytest.raises(error, match=name) as told:
        GuardedReader().probe(shared_data / "bad" / name)
    assert told.value.file == name


def test_a_link_and_a_pipe_are_refused(clip: Path, tmp_path: Path) -> None:
    import os

    (tmp_path / "link.mp4").symlink_to(clip)
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("link.mp4", "pipe.mp4"):
        with pytest.raises(UnsafeUpload, match=name):
            GuardedReader().probe(tmp_path / name)


@pytest.mark.parametrize("name", ["corrupt_middle.mp4", "truncated_faststart.mp4"])
def test_damage_is_read_by_one_thread_and_so_the_same_every_time(name: str, shared_data: Path) -> None:
    path, said = shared_data / "bad" / name, []
    with pytest.raises(DamagedError):
        list(Decoder(path=path, threads=2))
    reader = GuardedReader(threads=2)
    facts = reader.probe(path)
    seen = [bare(m) for m in reader.measure(path, facts, fps=5, longer_side_px=160, say=said.append)]
    assert any("one thread" in line for line in said)
    alone = PyAvReader().measure(path, facts, fps=5, longer_side_px=160, say=said.append)
    assert seen == [bare(m) for m in alone]


def test_several_threads_give_the_frames_of_one(clip: Path) -> None:
    seen = [
        [(i, t, f.to_ndarray(format="gray8").tobytes()) for i, t, f in Decoder(path=clip, threads=n)] for n in (1, 3)
    ]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 40


def test_a_clip_that_kills_its_reader_is_refused_and_nothing_else(clip: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "dying_worker.py").write_text("import os\n\nos.abort()  # as native code does\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(guarded, "WORKER", "dying_worker")
    with pytest.raises(UnreadableMedia, match=r"walk\.mp4 breaks the decoder: .*signal 6"):
        GuardedReader().probe(clip)


def test_a_clip_that_takes_for_ever_is_given_up(clip: Path) -> None:
    with pytest.raises(TooLong, match=r"walk\.mp4 was not read within 0 s"):
        GuardedReader(probe_s=0.05).probe(clip)


def test_a_table_that_unfolds_into_more_than_the_memory_is_refused_by_the_child(tmp_path: Path) -> None:
    rows = 1_000_000
    columns = {
        column.name: pa.nulls(rows, column.type)
        if column.nullable
        else pa.repeat(pa.scalar("x" if pa.types.is_string(column.type) else 0).cast(column.type), rows)
        for column in FRAMES.columns
    }
    chunk = pa.table(columns, schema=FRAMES.schema)
    with pq.ParquetWriter(tmp_path / "frames.parquet", FRAMES.schema, compression="zstd") as writer:
        for _ in range(8):
            writer.write_table(chunk)
    assert (tmp_path / "frames.parquet").stat().st_size < 1 << 20
    with pytest.raises(InputError, match="memory"):
        GuardedReader(memory_bytes=2 << 30).check_tables(tmp_path)


def test_tables_of_the_pipeline_pass_and_others_are_named(tmp_path: Path) -> None:
    write_table(tmp_path / "frames.parquet", FRAMES, [])
    GuardedReader().check_tables(tmp_path)
    (tmp_path / "surprise.parquet").write_bytes((tmp_path / "frames.parquet").read_bytes())
    with pytest.raises(BadTable, match=r"surprise\.parquet"):
        GuardedReader().check_tables(tmp_path)
