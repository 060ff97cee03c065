"""Files of artifacts over HTTP: those of the manifest, whole or in part, and nothing else whatever is asked."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from resources.artifact_server import artifact_server
from resources.stores import FileStore
from splat_pipeline.ports.stores import Artifact

FILM = bytes(range(256)) * 40
SECRET = b"root:x:0:0"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FileStore, Artifact, int]]:
    folder = tmp_path_factory.mktemp("store")
    (folder / "secret.txt").write_bytes(SECRET)
    store = FileStore(folder / "store", folder / "delivered", address="http://127.0.0.1:1/files/")
    made = folder / "made"
    (made / "images").mkdir(parents=True)
    (made / "preview.mp4").write_bytes(FILM)
    (made / "report.html").write_text("<h1>report</h1>")
    (made / "images" / "a b.jpg").write_bytes(b"jpeg")
    (made / "tampered.json").write_text("{}")
    (made / "model.ply").write_bytes(b"ply")
    artifact = store.publish("garden-1", "package", made, provenance={"run_id": "r"})
    (artifact.folder / "planted.txt").symlink_to(folder / "secret.txt")
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(artifact_server(store), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield store, artifact, listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


def ask(port: int, path: str, *, method: str = "GET", host: str = "127.0.0.1", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_a_film_is_given_whole_or_in_part(served) -> None:
    _, artifact, port = served
    path = f"/garden-1/package/{artifact.version}/preview.mp4"
    status, body, headers = ask(port, path)
    assert (status, body, headers["content-type"]) == (200, FILM, "video/mp4")
    assert headers["accept-ranges"] == "bytes"
    status, body, headers = ask(port, path, Range="bytes=100-199")
    assert (status, body) == (206, FILM[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(FILM)}"
    assert ask(port, path, Range="bytes=-5")[:2] == (206, FILM[-5:])
    assert ask(port, path, Range="bytes=999999-")[0] == 416
    status, body, headers = ask(port, path, method="HEAD")
    assert (status, body, headers["content-length"]) == (200, b"", str(len(FILM)))


def test_a_page_is_shown_in_a_sandbox_and_what_is_no_picture_of_ours_is_a_download(served) -> None:
    _, artifact, port = served
    root = f"/garden-1/package/{artifact.version}"
    status, body, headers = ask(port, f"{root}/report.html")
    assert (status, body) == (200, b"<h1>report</h1>")
    assert headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("inline")
    assert ask(port, f"{root}/images/a%20b.jpg")[:2] == (200, b"jpeg")
    assert ask(port, f"{root}/model.ply")[2]["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/garden-1",
        "/garden-1/package",
        "/garden-1/package/{v}",
        "/garden-1/package/{v}/",
        "/garden-1/package/{v}/images",
        "/garden-1/package/{v}/images/",
        "/garden-1/package/{v}/artifact.json",
        "/garden-1/package/{v}/planted.txt",
        "/garden-1/package/{v}/../../../../../secret.txt",
        "/garden-1/package/{v}/..%2f..%2f..%2f..%2f..%2fsecret.txt",
        "/garden-1/package/{v}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/secret.txt",
        "/garden-1/package/{v}/..%5c..%5csecret.txt",
        "/garden-1/package/{v}/..%252f..%252fsecret.txt",
        "/garden-1/package/{v}//etc/passwd",
        "/garden-1/package/{v}/%2fetc%2fpasswd",
        "/garden-1/package/{v}/preview.mp4%00.jpg",
        "/garden-1/package/{v}/./preview.mp4/",
        "/garden-1/package/../package",
        "/../../etc/passwd/x",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/garden-1/../../secret.txt",
        "/garden-1/package/latest/preview.mp4",
        "/garden-1/package/current/preview.mp4",
        "/other/package/{v}/preview.mp4",
        "/garden-1/splat/{v}/preview.mp4",
        "/garden-1/package/0000000000000000/preview.mp4",
        "/GARDEN-1/package/{v}/preview.mp4",
        "/" + "a" * 5000 + "/b/c/d",
        "/garden-1/package/{v}/preview.mp4?x=../../secret.txt&",
        "http://127.0.0.1/garden-1/package/{v}/../secret.txt",
    ],
)
def test_a_hostile_path_gives_nothing(served, path: str) -> None:
    _, artifact, port = served
    status, body, _ = ask(port, path.format(v=artifact.version) or "/")
    if "?" in path:  # what follows a question mark is not read
        assert (status, body) == (200, FILM)
    else:
        assert status in (400, 404)
        assert body in (b"Not Found", b"Invalid HTTP request received.")


def test_nothing_is_written_and_a_foreign_name_of_this_machine_is_not_answered(served) -> None:
    _, artifact, port = served
    path = f"/garden-1/package/{artifact.version}/report.html"
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(port, path, method=method)[0] == 405
    assert ask(port, path, host="evil.example")[0] == 400
    assert ask(port, path, host="localhost")[0] == 200


def test_an_artifact_that_was_changed_is_not_given(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store", tmp_path / "delivered")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "report.html").write_text("as written")
    artifact = store.publish("garden-1", "report", tmp_path / "made", provenance={"run_id": "r"})
    (artifact.folder / "report.html").write_text("as forged!")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(artifact_server(store), log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        status, body, _ = ask(listening.getsockname()[1], f"/garden-1/report/{artifact.version}/report.html")
        server.should_exit = True
        thread.join()
    assert (status, body) == (404, b"Not Found")


def test_a_link_leads_where_the_server_gives_the_file_and_there_is_none_without_an_address(served) -> None:
    store, artifact, port = served
    link = store.link(artifact, "images/a b.jpg")
    assert link == f"http://127.0.0.1:1/files/garden-1/package/{artifact.version}/images/a%20b.jpg"
    assert ask(port, link.removeprefix("http://127.0.0.1:1/files"))[:2] == (200, b"jpeg")
    assert FileStore("/nowhere", "/nowhere").link(artifact, "report.html") is None
