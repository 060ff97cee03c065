"""Environment over YAML over defaults; an unknown key is an error that names it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.quality import table_for
from splat_pipeline.settings import load


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch):
    for name in list(os.environ):
        if name.startswith("SPLAT_"):
            monkeypatch.delenv(name)


def yaml(tmp_path: Path, text: str) -> str:
    (tmp_path / "splat.yaml").write_text(text)
    return str(tmp_path / "splat.yaml")


def test_environment_wins_over_yaml_and_yaml_over_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT_CONFIG", yaml(tmp_path, "stable_s: 5\nrecipe: {frames: {max_keyframes: 50}, seed: 3}"))
    monkeypatch.setenv("SPLAT__RECIPE__FRAMES__MAX_KEYFRAMES", "60")
    settings = load()
    assert settings.stable_s == 5
    assert settings.recipe.frames.max_keyframes == 60
    assert settings.recipe.seed == 3
    assert settings.recipe.detail == "auto"


def test_folders_lie_below_home_unless_set_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT__HOME", str(tmp_path / "h"))
    monkeypatch.setenv("SPLAT__INBOX", str(tmp_path / "drop"))
    settings = load()
    assert settings.place("inbox") == str(tmp_path / "drop")
    assert settings.place("errors") == str(tmp_path / "h" / "error")
    assert settings.place("store") == str(tmp_path / "h" / "store")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SPLAT__HOEM", "/x", "SPLAT__HOEM"),
        ("SPLAT__RECIPE__DETIAL", "full", r"recipe\.detial"),
        ("SPLAT__POLL_S", "1", "poll_s"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str):
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadJobFile, match=named):
        load()


def test_an_unknown_key_in_the_yaml_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT_CONFIG", yaml(tmp_path, "recepe: {}"))
    with pytest.raises(BadJobFile, match=r"splat\.yaml: recepe"):
        load()
    monkeypatch.setenv("SPLAT_CONFIG", str(tmp_path / "absent.yaml"))
    with pytest.raises(BadJobFile, match="not a file"):
        load()


def test_a_home_in_an_object_store_leaves_what_is_this_machines_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SPLAT__HOME", "s3://bucket/splats/")
    monkeypatch.setenv("SPLAT__ERRORS", str(tmp_path / "errors"))
    monkeypatch.setenv("SPLAT__DELIVERED", "abfs://results@account.dfs.core.windows.net/x")
    monkeypatch.setenv("SPLAT__LOCAL", str(tmp_path / "here"))
    settings = load()
    assert settings.place("inbox") == "s3://bucket/splats/inbox"
    assert settings.place("errors") == str(tmp_path / "errors")
    assert settings.place("delivered") == "abfs://results@account.dfs.core.windows.net/x"
    assert settings.folder("dagster") == tmp_path / "here" / "dagster"
    monkeypatch.delenv("SPLAT__LOCAL")
    assert load().folder("dagster") == Path("~/splat/dagster").expanduser()


@pytest.mark.parametrize(
    "url", ["s3://key:canary@bucket/x", "s3://bucket/x?sig=canary", "az://canary@box/x#y", "ftp://canary/x", "s3:///x"]
)
def test_a_url_with_credentials_or_of_another_kind_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
):
    monkeypatch.setenv("SPLAT__INBOX", url)
    with pytest.raises(BadJobFile, match="inbox") as told:
        load()
    assert "canary" not in str(told.value)


def test_an_operator_sets_limits_of_gates_and_lifts_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "splat.yaml").write_text("recipe: {gates: {tracked: {aerial: 2.5}, not_planar: lift}}")
    monkeypatch.setenv("SPLAT_CONFIG", str(tmp_path / "splat.yaml"))
    monkeypatch.setenv("SPLAT__RECIPE__GATES__REGISTERED_WELL", "0.7")
    gates = load().recipe.gates
    assert gates == {"tracked": {"aerial": 2.5}, "not_planar": "lift", "registered_well": 0.7}
    assert table_for("aerial", gates)["tracked"].bound == 2.5
    monkeypatch.setenv("SPLAT__RECIPE__GATES__NONSENSE", "1")
    with pytest.raises(BadJobFile, match="unknown gate nonsense; known are enough_keyframes"):
        load()


@pytest.mark.parametrize("name", ["SPLAT_ARTIFACT_URL", "SPLAT__ARTIFACT_URL"])
def test_the_address_of_the_artifacts_has_a_short_name_too_and_holds_no_credentials(name, monkeypatch):
    monkeypatch.setenv(name, "http://127.0.0.1:3001")
    assert load().artifact_url == "http://127.0.0.1:3001"
    for wrong in ("ftp://x", "http://me:secret@x", "127.0.0.1:3001", "http://x/?token=secret"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(BadJobFile):
            load()
