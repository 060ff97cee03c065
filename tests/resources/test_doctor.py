"""What is missing is found, with what to do; what nobody needs is no illness."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from resources import doctor
from resources.doctor import as_json, examine
from splat_pipeline.cli import app
from splat_pipeline.domain.errors import StoreUnavailable


def found(name: str, **folders) -> doctor.Finding:
    return next(finding for finding in examine(folders) if finding.name == name)


def test_a_healthy_installation_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path))
    for variable in doctor.ENVIRONMENTS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(doctor, "LITTLE_DISK", 1e6)
    monkeypatch.setattr(doctor, "NO_DISK", 1e6)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    told = json.loads(result.output)
    assert result.exit_code == 0
    assert told["healthy"]
    states = {finding["name"]: finding["state"] for finding in told["findings"]}
    assert {"ffmpeg", "encoder", "gpu", "memory", "kernels", "inbox", "store", "dagster"} <= set(states)
    assert states["encoder"] == "good"
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a folder that not even root can write")
def test_a_folder_that_cannot_be_written_is_bad_and_the_exit_code_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPLAT__DELIVERED", "/proc/sys/nowhere")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "BAD      delivered: /proc/sys/nowhere cannot be written" in result.output
    assert "-> Make /proc/sys/nowhere writable, or have it elsewhere: SPLAT__HOME" in result.output


def test_little_disk_is_a_warning_and_none_is_bad(tmp_path, monkeypatch):
    for free, state in ((50e9, "good"), (5e9, "warning"), (1e9, "bad")):
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        finding = found("store", store=str(tmp_path / "not" / "yet"))
        assert finding.state == state
        assert (finding.remedy is None) == (state == "good")


def test_an_ffmpeg_without_the_encoder_or_that_crashes_is_bad(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    for script, name in (("print(' V..... libvpx')", "encoder"), ("sys.exit(3)", "ffmpeg")):
        program.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
        assert found(name).state == "bad"
        assert "imageio-ffmpeg" in str(found(name).remedy)


def test_an_environment_that_was_named_and_is_broken_is_bad_one_that_nobody_named_is_not_mentioned(monkeypatch):
    for variable in doctor.ENVIRONMENTS:
        monkeypatch.delenv(variable, raising=False)
    assert not {finding.name for finding in examine({})} & set(doctor.ENVIRONMENTS)
    monkeypatch.setenv("SPLAT_NERFSTUDIO_ENV", "/nowhere")
    finding = found("SPLAT_NERFSTUDIO_ENV")
    assert finding.state == "bad"
    assert "there is no program /nowhere/bin/ns-train" in finding.says
    assert not as_json([finding])["healthy"]


def test_a_gpu_that_cannot_be_used_is_a_warning_and_none_at_all_is_fine(monkeypatch):
    monkeypatch.setattr(doctor.trainers.InstalledTrainers, "found", lambda self, name: (None, "torch is missing"))
    monkeypatch.setattr(doctor, "has_nvidia_gpu", lambda: True)
    assert (doctor._gpu().state, doctor._gpu().says) == ("warning", "there is an NVIDIA GPU and torch is missing")
    monkeypatch.setattr(doctor, "has_nvidia_gpu", lambda: False)
    assert doctor._gpu().state == "good"


def test_little_memory_and_kernels_that_cannot_be_kept_are_warnings(monkeypatch):
    monkeypatch.setattr(doctor, "free_bytes", lambda: 1_000_000_000)
    assert found("memory").state == "warning"
    monkeypatch.setattr(doctor, "free_bytes", lambda: None)
    assert found("memory").state == "good"
    monkeypatch.setattr(doctor, "_can_write", lambda folder: False)
    assert "NUMBA_CACHE_DIR" in str(doctor._kernels().remedy)


def test_an_object_store_that_does_not_answer_is_bad_and_one_that_does_is_good(monkeypatch):
    asked = []

    class Remote:
        url = "s3://bucket/splat"

        def here(self):
            return None

        def check(self):
            asked.append(self.url)
            if len(asked) == 1:
                raise StoreUnavailable("s3://bucket/splat: no such bucket")

    monkeypatch.setattr(doctor, "place_of", lambda where: Remote())
    finding = found("store", store="s3://bucket/splat")
    assert (finding.state, finding.remedy) == ("bad", StoreUnavailable.remedy)
    assert found("store", store="s3://bucket/splat").state == "good"
