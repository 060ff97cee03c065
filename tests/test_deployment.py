"""What is deployed names things that exist: code location, images, compose file, wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from dagster_cloud_cli.config.models import load_dagster_cloud_yaml

ROOT = Path(__file__).resolve().parents[1]
OURS = {"splat_pipeline", "resources", "sensors"}


def test_every_place_that_names_the_code_location_agrees():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    cloud = load_dagster_cloud_yaml((ROOT / "dagster_cloud.yaml").read_text()).locations[0]
    grpc = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    names = [pyproject["code_location_name"], workspace["location_name"], cloud.location_name, grpc["location_name"]]
    assert set(names) == {"splat_pipeline"}
    modules = {pyproject["code_location_target_module"], workspace["module_name"], cloud.code_source.module_name}
    assert modules == {"splat_pipeline.definitions"}


def test_the_packages_near_the_source_are_some_of_ours_in_the_same_versions():
    ours = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    edge = [line for line in (ROOT / "docker" / "edge.txt").read_text().splitlines() if line and line[0] != "#"]
    assert set(edge) < ours
    assert not any(line.startswith(("pycolmap", "numba")) for line in edge)


def test_compose_runs_postgres_the_three_processes_and_their_figures_and_binds_to_loopback_only():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"postgres", "code", "webserver", "daemon", "artifacts", "metrics"}
    assert services["metrics"]["ports"] == ["127.0.0.1:9464:9464"]
    assert services["artifacts"]["ports"] == ["127.0.0.1:3001:3001"]
    assert services["artifacts"]["command"][:2] == ["splat", "artifacts"]
    assert all(volume.endswith(":ro") for volume in services["artifacts"]["volumes"])
    assert services["code"]["environment"]["SPLAT_ARTIFACT_URL"] == "${SPLAT_ARTIFACT_URL:-http://127.0.0.1:3001}"
    assert services["webserver"]["ports"] == ["127.0.0.1:3000:3000"]
    assert all("ports" not in services[name] for name in ("postgres", "code", "daemon"))
    host = yaml.safe_load((ROOT / "docker" / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    assert host["host"] in services
    assert str(host["port"]) in services["code"]["command"]


def test_the_instance_settings_of_the_image_are_those_of_a_laptop_on_postgres():
    laptop = yaml.safe_load(files("splat_pipeline").joinpath("dagster.yaml").read_text())
    image = yaml.safe_load((ROOT / "docker" / "dagster.yaml").read_text())
    storage = image.pop("storage")
    assert image == laptop
    assert storage["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert storage["postgres"]["postgres_db"]["password"] == {"env": "POSTGRES_PASSWORD"}


def test_the_image_copies_what_exists_and_names_no_secret():
    text = (ROOT / "docker" / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert "PASSWORD" not in text
    assert "USER splat" in text


def test_the_wheel_holds_our_three_packages_and_nothing_else(tmp_path: Path):
    source = tmp_path / "source"  # a build leaves folders beside what it builds
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", ".*_cache", "__pycache__", "node_modules")
    shutil.copytree(ROOT, source, ignore=ignored)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *flags, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == OURS
    pages = {
        f"splat_pipeline/assets/{name}" for name in ("report.html", "viewer.html", "viewer.js", "viewer.licences.txt")
    }
    assert {"splat_pipeline/dagster.yaml", "splat_pipeline/py.typed", *pages} <= set(names)
    sources = {p.relative_to(ROOT).as_posix() for top in OURS for p in (ROOT / top).rglob("*.py")}
    assert sources <= set(names)


def test_no_other_installed_distribution_owns_our_names():
    owners = {
        name: d.metadata["Name"]
        for d in distributions()
        for name in (d.read_text("top_level.txt") or "").split()
        if name in OURS
    }
    assert set(owners.values()) <= {"splat_pipeline"}


@pytest.mark.parametrize("module", ["splat_pipeline.definitions"])
def test_the_code_location_loads_from_the_root_folder_without_reading_the_world(module: str, tmp_path: Path):
    code = f"import {module} as m; d = m.defs(); print(len(list(d.resolve_asset_graph().get_all_asset_keys())))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd="/",
        env={"SPLAT__HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) >= 13
    assert not (tmp_path / "home").exists()
