"""What cannot work is told in one line of JSON with a remedy, and the exit code says whose fault it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splat_pipeline import cli
from splat_pipeline.domain.errors import StoreUnavailable
from splat_pipeline.verbs import jobs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, object], str]:
    """Run the command as a shell would; return exit code, last line of JSON, standard error."""
    monkeypatch.setattr("sys.argv", ["splat", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    return int(ended.value.code or 0), json.loads(shown.out.splitlines()[-1]), shown.err


def a_file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("empty.mp4", b"", "UnreadableMedia"),
        ("text.mp4", b"this is not a video\n" * 50, "UnreadableMedia"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "UnsupportedMedia"),
    ],
)
def test_a_file_that_is_no_video_is_named_with_cause_and_remedy(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    content: bytes,
    wanted: str,
):
    code, told, shown = call(monkeypatch, capsys, "run", str(a_file(tmp_path, name, content)))
    assert code == 2
    assert told["status"] == "failed"
    error = told["error"]
    assert isinstance(error, dict)
    assert (error["class"], error["file"]) == (wanted, name)
    assert name in error["cause"]
    assert error["remedy"] in shown
    assert (tmp_path / name).read_bytes() == content


def test_an_empty_folder_and_a_missing_one_are_the_callers_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "nothing").mkdir()
    code, told, _ = call(monkeypatch, capsys, "run", str(tmp_path / "nothing"))
    assert (code, told["error"]["class"]) == (2, "EmptyUpload")  # type: ignore[index]
    code, told, _ = call(monkeypatch, capsys, "run", str(tmp_path / "absent"))
    assert (code, told["error"]["class"]) == (2, "InputError")  # type: ignore[index]


def test_an_unknown_stage_is_answered_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    code, told, _ = call(monkeypatch, capsys, "materialize", "splatt", "--job", "x")
    assert code == 2
    assert "camera_poses" in told["error"]["remedy"]  # type: ignore[index]


def test_an_unknown_job_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    code, told, _ = call(monkeypatch, capsys, "status", "nobody")
    assert code == 1
    assert "nobody" in told["error"]["cause"]  # type: ignore[index]


def test_a_home_that_cannot_be_made_is_told_with_the_setting_to_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setenv("SPLAT__HOME", str(a_file(tmp_path, "file", b"") / "below"))
    code, told, _ = call(monkeypatch, capsys, "init")
    assert code == 1
    assert told["error"]["class"] == "StoreUnavailable"  # type: ignore[index]
    assert "SPLAT__HOME" in told["error"]["remedy"]  # type: ignore[index]


def test_a_wrong_setting_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
):
    monkeypatch.setenv("SPLAT__RECIPE__DETIAL", "full")
    code, told, _ = call(monkeypatch, capsys, "init")
    assert code == 2
    assert "detial" in told["error"]["cause"]  # type: ignore[index]
    assert not home.exists()


def test_all_that_was_delivered_is_copied_out_and_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    delivered = tmp_path / "delivered"
    delivered.mkdir()
    for name in ("delivery.json", "model-1.ply", "artifact.json"):
        (delivered / name).write_text(name)
    outputs = jobs.copied({"ply": str(delivered / "model-1.ply")}, delivered, tmp_path / "out")
    assert outputs == {"ply": str(tmp_path / "out" / "model-1.ply")}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["delivery.json", "model-1.ply"]
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        jobs.copied(outputs, delivered, a_file(tmp_path, "file", b"") / "below")


def test_init_tells_where_to_drop_and_makes_the_folders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
):
    monkeypatch.setattr("sys.argv", ["splat", "init"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert str(home / "inbox") in capsys.readouterr().out
    assert (home / "inbox").is_dir()
    assert (home / "dagster" / "dagster.yaml").is_file()
