"""A package arrives whole or not at all, on a folder and on S3; who finds delivery.json finds everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from resources.outlet import Outlet, Prefix, outlet_of
from splat_pipeline.domain.errors import CorruptArtifact, StoreUnavailable

moto_server = pytest.importorskip("moto.server", reason="moto is not installed: delivery to S3 is not tested")
pytest.importorskip("s3fs", reason="s3fs (extra aws) is not installed: delivery to S3 is not tested")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    (folder / "refined").mkdir(parents=True)
    (folder / "a model.ply").write_bytes(bytes(range(256)) * 5000)
    (folder / "refined" / "b.mp4").write_bytes(b"film")
    (folder / "artifact.json").write_text("{}")
    names = ["a model.ply", "refined/b.mp4"]
    (folder / "delivery.json").write_text(json.dumps({"files": [{"name": name} for name in names]}))
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.filesystem("s3").makedirs("splats", exist_ok=True)
    return "s3://splats/some/prefix"


def seen(url: str) -> dict[str, str]:
    """Return the digests of all files below ``url`` by name."""
    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    found = fs.find(root) if fs.exists(root) else []
    return {name.removeprefix(root).lstrip("/"): hashlib.sha256(fs.cat_file(name)).hexdigest() for name in found}


def digests(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_all_files_arrive_and_the_pointer_names_the_version(kind: str, tmp_path: Path, package: Path, request) -> None:
    url = request.getfixturevalue("bucket") + f"/{tmp_path.name}" if kind == "s3" else str(tmp_path / "shelf")
    address = Prefix(url=url).put(package, "job-1", "v1")
    assert seen(f"{url}/job-1/v1") == digests(package)
    assert address.endswith("job-1/v1")
    fs, root = fsspec.core.url_to_fs(url)
    assert json.loads(fs.cat_file(f"{root}/job-1/latest.json"))["delivery"] == "v1/delivery.json"
    Prefix(url=url).put(package, "job-1", "v2")
    assert len(seen(f"{url}/job-1")) == 2 * len(digests(package)) + 1


class Losing(LocalFileSystem):
    """Loses its line, or a bit, at a certain file."""

    protocol = "losing"
    bad, how = "", ""

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        if rpath.endswith(self.bad) and self.how == "line":
            raise ConnectionResetError(104, "reset")
        super().put_file(lpath, rpath, *args, **kwargs)
        if rpath.endswith(self.bad) and self.how == "bit":
            Path(self._strip_protocol(rpath)).write_bytes(b"filM")


@pytest.mark.parametrize(("how", "error"), [("line", StoreUnavailable), ("bit", CorruptArtifact)])
@pytest.mark.parametrize("bad", ["b.mp4", "delivery.json"])
def test_an_attempt_that_fails_leaves_nothing_and_the_next_one_succeeds(
    how: str, error: type[Exception], bad: str, tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("losing", Losing, clobber=True)
    shelf, url = tmp_path / "shelf", f"losing://{tmp_path}/shelf"
    Prefix(url=url).put(package, "job-1", "v0")
    monkeypatch.setattr(Losing, "bad", bad)
    monkeypatch.setattr(Losing, "how", how)
    with pytest.raises(error):
        Prefix(url=url).put(package, "job-1", "v1")
    assert not (shelf / "job-1" / "v1").exists()
    assert json.loads((shelf / "job-1" / "latest.json").read_text())["version"] == "v0"
    monkeypatch.setattr(Losing, "how", "")
    Prefix(url=url).put(package, "job-1", "v1")
    assert digests(shelf / "job-1" / "v1") == digests(package)


def test_delivery_json_is_written_after_all_others(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = LocalFileSystem.put_file

    def noted(self: Any, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> Any:
        order.append(Path(rpath).name)
        return real(self, lpath, rpath, *args, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "put_file", noted)
    Prefix(url=str(tmp_path / "shelf")).put(package, "job-1", "v1")
    assert order[-1] == "delivery.json"
    assert sorted(order) == sorted(Path(name).name for name in digests(package))


def test_a_signed_link_gives_the_file_and_a_folder_signs_nothing(bucket: str, tmp_path: Path, package: Path) -> None:
    prefix = Prefix(url=f"{bucket}/{tmp_path.name}")
    prefix.put(package, "job-1", "v1")
    links = prefix.links("job-1", "v1", seconds=600)
    assert set(links) == {"a model.ply", "refined/b.mp4", "delivery.json"}
    assert "Signature=" in links["a model.ply"]
    with urlopen(links["a model.ply"]) as answer:
        assert answer.read() == (package / "a model.ply").read_bytes()
    plain = Prefix(url=str(tmp_path / "shelf"))
    plain.put(package, "job-1", "v1")
    assert plain.links("job-1", "v1", seconds=600) == {}


def test_a_store_that_is_not_there_is_told_without_its_address(
    package: Path, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    del bucket
    with pytest.raises(StoreUnavailable) as told:
        Prefix(url="s3://nobody-made-this/secret-place").put(package, "job-1", "v1")
    assert "secret-place" not in str(told.value)
    with pytest.raises(StoreUnavailable, match="no place"):
        Prefix(url="gopher://there").put(package, "job-1", "v1")


def test_without_settings_there_is_nothing_to_do(package: Path) -> None:
    outlet = outlet_of(None, None, links_s=None)
    assert outlet == Outlet()
    assert outlet.put(package, "job-1", "v1") is None
    assert outlet.tell("delivered", {}, job="job-1", version="v1") is None
