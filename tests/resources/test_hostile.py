"""Uploads that mean harm are refused by name, soon, in little memory, and lead nowhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import hostile
import numpy as np
import pytest

from resources import workers
from resources.guarded import GuardedReader
from resources.media import PyAvReader
from splat_pipeline.domain.errors import InputError
from splat_pipeline.domain.verdicts import judge_clip

MOST_CPU_S, MOST_BYTES = 5.0, 1_000_000_000


@pytest.fixture(scope="module")
def good(tmp_path_factory, film, walk) -> bytes:
    return film(tmp_path_factory.mktemp("good") / "good.mp4", walk(40), fps=10).read_bytes()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Give an address, and who called it."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, caller = server.accept()
                except OSError:
                    return  # closed
                calls.append(str(caller))
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def read(reader, path: Path):
    """Do what the first two stages do with a clip."""
    facts = reader.probe(path)
    measures = list(reader.measure(path, facts, fps=10, longer_side_px=480, say=lambda _: None))
    weak = judge_clip(measures, name=path.name)
    if weak is not None:
        raise weak


def test_there_are_enough_of_them() -> None:
    assert len({case.name for case in hostile.HOSTILE}) == len(hostile.HOSTILE) >= 40


@pytest.mark.parametrize("case", hostile.HOSTILE, ids=lambda case: case.name)
def test_hostile_files_are_refused_soon_and_lead_nowhere(
    case: hostile.Hostile, good: bytes, listener: tuple[str, list[str]], tmp_path: Path, monkeypatch
) -> None:
    url, calls = listener
    (tmp_path / hostile.SECRET).write_bytes(good)
    path = tmp_path / case.name
    try:
        case.make(path, hostile.Place(folder=tmp_path, good=good, url=url))
    except PermissionError:
        pytest.skip("only root may make a device")
    children = []

    def watched(*args, **kwargs):
        children.append(run_child(*args, **kwargs))
        return children[-1]

    run_child = workers.run_child
    monkeypatch.setattr(workers, "run_child", watched)
    with pytest.raises(case.error) as told:
        read(GuardedReader(), path)
    assert case.name in str(told.value)
    assert told.value.file == case.name
    assert told.value.remedy.endswith(".")
    assert sum(child.cpu_s for child in children) < MOST_CPU_S
    assert max(child.peak_rss_bytes for child in children) < MOST_BYTES
    with pytest.raises(case.error):  # with the network at hand, and no other process around it
        read(PyAvReader(), path)
    assert calls == []


@pytest.mark.parametrize(
    "name",
    ["-i.mp4", "http:.mp4", "file:%00.mp4", "a b'\"$(touch x)`|&;.mp4", "%d%s%n.mp4", "concat:a|b.mp4", "fd:3.mp4",
     "new\nline.mp4", "\u202egpj.mp4", "~.mp4", "x" * 240 + ".mp4"],
)  # fmt: skip
def test_strange_names_are_names_only(name: str, good: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(good)
    facts = GuardedReader().probe(tmp_path / name)
    assert (facts.width_px, facts.frame_count) == (320, 40)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("seed", range(12))
def test_a_clip_with_wrong_bytes_is_read_or_refused_and_nothing_else(seed: int, good: bytes, tmp_path: Path) -> None:
    rng, data = np.random.default_rng(seed), bytearray(good)
    index = good.index(b"moov")
    places = rng.integers(index, len(data), 6) if seed % 2 else rng.integers(40, index, 200)
    for place in places:
        data[place] = rng.integers(256)
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    try:
        read(GuardedReader(), path)
    except InputError as error:
        assert error.file == "flipped.mp4"  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (65535, 65535), (2_000_000_000, 1)])
def test_bombs_of_pixels_among_photos_are_left_out(width: int, height: int, tmp_path: Path, walk) -> None:
    from PIL import Image

    for i, picture in enumerate(walk(4, step_px=10)):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    if width * height <= 30000**2:
        (tmp_path / "9.png").write_bytes(hostile.png(width, height))
    else:
        head = hostile.png(8, 8)
        (tmp_path / "9.png").write_bytes(
            hostile.patched(head, 16, width.to_bytes(4, "big") + height.to_bytes(4, "big"))
        )
    facts = GuardedReader().probe(tmp_path)
    assert list(facts.rejected) == ["9.png"]
    assert len(facts.images) == 4
