"""What cannot work is told in one line of JSON with a remedy, and the exit code says whose fault it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from resources.sample import SAMPLE, make_sample
from splat_pipeline import cli
from splat_pipeline.assets.failures import GOES_ON
from splat_pipeline.domain.errors import StoreUnavailable
from splat_pipeline.verbs import jobs

STOP_S = 60
"""What docs/operations.md promises of an idle machine is half of it."""


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


def test_progress_is_json_on_standard_output_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr("sys.argv", ["splat", "run", str(a_file(tmp_path, "a.mp4", b"")), "--progress", "json"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["stage"], line["status"]) for line in lines[:-1]] == [
        ("", "started"),
        ("source_videos", "running"),
        ("source_videos", "failed"),
    ]
    assert all(line["percent"] == 0 for line in lines[:-1])
    assert lines[-1]["error"]["class"] == "UnreadableMedia"


def test_progress_to_a_webhook_that_is_not_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    code, told, _ = call(monkeypatch, capsys, "run", str(a_file(tmp_path, "a.mp4", b"")), "--progress", "webhook")
    assert code == 1
    assert told["error"]["class"] == "BadWebhook"  # type: ignore[index]
    assert "SPLAT__WEBHOOK" in told["error"]["remedy"]  # type: ignore[index]


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


def test_a_run_that_is_asked_to_stop_ends_in_time_and_says_how_it_goes_on(tmp_path: Path):
    make_sample(tmp_path / "sample", seconds=6, width=320, height=180, fps=5, say=lambda _: None)
    code = "from splat_pipeline.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(tmp_path / "sample" / SAMPLE)]
    env = {**os.environ, "SPLAT__HOME": str(tmp_path / "home")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as run:
        assert run.stderr is not None
        assert any("done   source_videos" in line for line in run.stderr)
        run.send_signal(signal.SIGTERM)
        asked_s = time.monotonic()
        out, _ = run.communicate(timeout=STOP_S)
    assert time.monotonic() - asked_s < STOP_S
    assert run.returncode == 1
    told = json.loads(out.splitlines()[-1])["error"]
    assert told["class"] == "Cancelled"
    assert told["remedy"] == GOES_ON
    assert not list((tmp_path / "home" / "store" / "scratch").iterdir()), "nothing half made is left"
    with dg.DagsterInstance.from_config(str(tmp_path / "home" / "dagster")) as instance:
        assert {each.is_finished for each in instance.get_runs()} == {True}
