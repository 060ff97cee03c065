"""A package arrives whole or not at all, in folders, S3 and Azure; a message holds links that open its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from receiver import receiving

from resources.objects import ObjectPlace
from resources.outlet import Outlet
from resources.places import place_of
from resources.stores import FileStore
from resources.webhooks import Webhook
from splat_pipeline.domain.errors import CorruptArtifact, StoreUnavailable
from splat_pipeline.ports.stores import Artifact

FILES = {"a model.ply": bytes(range(256)) * 500, "refined/b.mp4": b"film", "z.txt": b"z"}


@pytest.fixture
def store(anywhere: str, tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", f"{anywhere}/delivered", local=tmp_path / "local")


def package(store: FileStore, text: str = "") -> Artifact:
    """Publish one of some files."""
    with store.scratch("job-1", "package") as folder:
        for name, content in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content + text.encode())
        (folder / "delivery.json").write_text(json.dumps({"files": [{"name": name} for name in FILES]}))
        return store.publish("job-1", "package", folder, provenance={})


def there(anywhere: str, version: str) -> dict[str, str]:
    """Return the digests of the files of a delivered version."""
    place = place_of(f"{anywhere}/delivered")
    home = f"job-1/{version}"
    return {name.removeprefix(f"{home}/"): hashlib.sha256(place.read(name)).hexdigest() for name in place.find(home)}


def latest(anywhere: str) -> str:
    told: dict[str, str] = json.loads(place_of(f"{anywhere}/delivered").read("job-1/latest.json"))
    return told["version"]


def test_all_files_arrive_and_a_second_time_changes_nothing(store: FileStore, anywhere: str) -> None:
    made = package(store)
    address = store.deliver(made)
    assert str(address).endswith(f"job-1/{made.version}")
    want = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    seen = there(anywhere, made.version)
    assert set(seen) == {*FILES, "delivery.json", "artifact.json"}
    assert want.items() <= seen.items()
    store.deliver(package(store))
    assert there(anywhere, made.version) == seen


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path) -> str:
    return f"{s3_server}/{tmp_path.name}"


@pytest.fixture
def remote(bucket: str, tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", f"{bucket}/delivered", local=tmp_path / "local")


def test_delivery_json_is_written_after_all_others(remote: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = ObjectPlace.put

    def noted(self: ObjectPlace, path: Path, name: str) -> None:
        order.append(Path(name).name)
        real(self, path, name)

    monkeypatch.setattr(ObjectPlace, "put", noted)
    remote.deliver(package(remote))
    assert order[-1] == "delivery.json"
    assert len(order) == len(FILES) + 2


@pytest.mark.parametrize("bad", ["b.mp4", "delivery.json"])
def test_an_attempt_that_loses_its_line_leaves_nothing_and_the_next_one_succeeds(
    bad: str, remote: FileStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = package(remote, "first")
    remote.deliver(first)
    real = ObjectPlace.put

    def lost(self: ObjectPlace, path: Path, name: str) -> None:
        if name.endswith(bad):
            raise StoreUnavailable("the line was lost")
        real(self, path, name)

    made = package(remote)
    with monkeypatch.context() as patch:
        patch.setattr(ObjectPlace, "put", lost)
        with pytest.raises(StoreUnavailable):
            remote.deliver(made)
    assert there(bucket, made.version) == {}
    assert latest(bucket) == first.version
    remote.deliver(made)
    assert len(there(bucket, made.version)) == len(FILES) + 2
    assert latest(bucket) == made.version


def test_a_file_that_is_not_what_was_written_is_found_before_anyone_is_told(
    remote: FileStore, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectPlace.put

    def changed(self: ObjectPlace, path: Path, name: str) -> None:
        real(self, path, name)
        if name.endswith("b.mp4"):
            self.write(name, b"filM")

    monkeypatch.setattr(ObjectPlace, "put", changed)
    made = package(remote)
    with pytest.raises(CorruptArtifact):
        remote.deliver(made)
    assert there(bucket, made.version) == {}


@pytest.fixture
def hook() -> Iterator[tuple[Webhook, list[tuple[dict[str, str], bytes]]]]:
    with receiving() as receiver:
        yield Webhook(url=receiver.url, secret=b"0123456789abcdef"), receiver.taken


@pytest.mark.parametrize("server", ["s3_server", "azure_server"])
def test_a_message_holds_links_that_open_the_files(
    server: str, request: pytest.FixtureRequest, tmp_path: Path, hook
) -> None:
    bucket = f"{request.getfixturevalue(server)}/{tmp_path.name}"
    remote = FileStore(tmp_path / "store", f"{bucket}/delivered", local=tmp_path / "local")
    made = package(remote)
    remote.deliver(made)
    outlet = Outlet(place=place_of(f"{bucket}/delivered"), webhook=hook[0], links_s=600)
    assert outlet.tell("delivered", {"uuid": "job-1"}, job="job-1", version=made.version) == (
        "taken by 127.0.0.1 at attempt 1"
    )
    told = json.loads(hook[1][0][1])
    assert set(told["links"]) == {*FILES, "delivery.json"}
    assert ("Signature=" if server == "s3_server" else "sig=") in told["links"]["a model.ply"]
    with urlopen(told["links"]["a model.ply"]) as answer:
        assert answer.read() == FILES["a model.ply"]
    assert "Signature" not in repr(outlet)


@pytest.mark.parametrize("links_s", [None, 600])
def test_a_folder_signs_nothing_and_progress_has_no_links(links_s: int | None, tmp_path: Path, hook) -> None:
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    made = package(store)
    store.deliver(made)
    outlet = Outlet(place=place_of(tmp_path / "delivered"), webhook=hook[0], links_s=links_s)
    outlet.tell("delivered", {"uuid": "job-1"}, job="job-1", version=made.version)
    outlet.tell("progress", {"uuid": "job-1"}, job="job-1", version="")
    assert [json.loads(body) for _, body in hook[1]] == [{"uuid": "job-1"}] * 2


def test_without_a_webhook_nobody_is_told() -> None:
    assert Outlet().tell("delivered", {}, job="job-1", version="v1") is None
