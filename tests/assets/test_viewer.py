"""The page that shows a splat, in a real browser: it draws what our renderer draws, and asks for nothing."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, WHY_NOT, Page, chromium

from splat_pipeline.assets.pictures import drawn
from splat_pipeline.assets.viewer import policy_of, viewer_html
from splat_pipeline.domain.camera_paths import CameraPath, Kind
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.formats.spz import read_spz, write_spz
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.orbit import look_at
from splat_pipeline.domain.viewer import Shot, placed, scene_of

ROOT = Path(__file__).resolve().parents[2]
ASSETS, SOURCES = ROOT / "splat_pipeline" / "assets", ROOT / "viewer"
SIZE = (320, 180)
CAMERA = Camera(width_px=320, height_px=180, fx_px=220, fy_px=220, cx_px=160, cy_px=90)
ALIKE_DB = 40.0
"""Measured: 47 dB. Spark packs positions into half floats and colours into 8 bits."""
HOSTILE = '</script><script>document.title = "owned"</script> & <b>garden</b>'
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)


def bricks(*, antialiased: bool = False, size: float = -3.3) -> Gaussians:
    """A wall and a floor of coloured discs that shine to one side: up and down, left and right differ."""
    rng = np.random.default_rng(0)
    n = 1500
    across = rng.uniform(-1, 1, size=(n, 2))
    wall = np.stack([across[:, 0], across[:, 1] - 1, np.ones(n)], axis=1)
    floor = np.stack([across[:, 0], np.zeros(n), across[:, 1]], axis=1)
    means = np.concatenate([wall, floor])
    sh = np.zeros((2 * n, 4, 3))
    sh[:, 0] = np.concatenate([np.sin(wall * 5), np.cos(floor * 4)]) + rng.normal(0, 0.3, (2 * n, 3))
    sh[:, 1:] = rng.normal(0, 0.2, (2 * n, 3, 3))
    quats = rng.normal(size=(2 * n, 4))
    return Gaussians(
        means=means.astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(size, 0.5, (2 * n, 3)).astype(np.float32),
        logit_opacities=rng.normal(2, 1, 2 * n).astype(np.float32),
        sh=sh.astype(np.float32),
        background=(0.1, 0.2, 0.4),
        antialiased=antialiased,
    )


def view_from(x: float, y: float, z: float) -> View:
    return View(name="v", camera=CAMERA, cam_from_world=look_at(np.array([x, y, z]), np.array([0, -0.4, 0.3])))


VIEWS = (view_from(0.8, -1.2, -2.4), view_from(-1.4, -0.7, -2.0))


def written(folder: Path, gaussians: Gaussians, *, kind: Kind = "orbit") -> tuple[Path, Gaussians]:
    """Return a page, and the Gaussians that are in it: quantised as .spz does."""
    write_spz(folder / "x.spz", gaussians)
    path = CameraPath(kind=kind, because="", target=np.zeros(3), views=VIEWS)
    shots = [Shot(name=f"<i>clip.mp4 at {i}.0 s", view=view, confidence=i) for i, view in enumerate(VIEWS)]
    html = viewer_html(
        (folder / "x.spz").read_bytes(),
        scene_of(gaussians, path, shots),
        title=HOSTILE,
        detail="reduced",
        reasons=[HOSTILE],
        told={"gaussians": len(gaussians), "left_out": None},
    )
    page = folder / "viewer.html"
    page.write_text(html, encoding="utf-8")
    return page, replace(read_spz(folder / "x.spz"), background=gaussians.background)


def db(picture: np.ndarray, truth: np.ndarray) -> float:
    assert picture.shape == truth.shape
    return float(10 * np.log10(255**2 / np.mean((picture.astype(float) - truth.astype(float)) ** 2)))


def test_what_is_packaged_was_built_from_the_sources_that_lie_here() -> None:
    names = [
        "package.json",
        "package-lock.json",
        "build.mjs",
        *sorted(f"src/{p.name}" for p in (SOURCES / "src").iterdir()),
    ]
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in names)).hexdigest()
    head = (ASSETS / "viewer.js").read_text().partition("\n")[0]
    assert f"sources {digest}" in head, "make viewer"
    wanted = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    licences = (ASSETS / "viewer.licences.txt").read_text()
    for name, version in wanted.items():
        assert f"{name} {version} (MIT)" in head
        assert f"{name} {version} (MIT)" in licences


def test_a_hostile_title_is_text_in_the_page_and_only_its_own_code_may_run(tmp_path: Path) -> None:
    page, _ = written(tmp_path, bricks())
    text = page.read_text()
    head, _, rest = text.partition('<script type="application/json"')
    assert "<script" not in head
    kinds = re.findall(r"<script([^>]*)>", rest)
    assert kinds == [' type="text/plain" id="splat"', ' type="text/plain" id="licences"', ""]
    code = (ASSETS / "viewer.js").read_text()
    assert "default-src 'none'; script-src 'sha256-" in policy_of(code)
    assert "unsafe-eval" not in policy_of(code).replace("'wasm-unsafe-eval'", "")
    assert len(text) < 1.3e6 + 4 / 3 * (tmp_path / "x.spz").stat().st_size


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Gaussians]]:
    """The page in a browser, without what lies over the splat."""
    path, gaussians = written(tmp_path_factory.mktemp("page"), bricks())
    with chromium() as browser:
        page = browser.page().open(path.as_uri(), width=SIZE[0], height=SIZE[1])
        page.run("splat.then(() => document.body.classList.add('bare'))")
        yield page, gaussians


def seen_from(page: Page, view: View) -> np.ndarray:
    page.run(f"splat.then(v => {{ v.moveBy('fly'); v.show({json.dumps(placed(view))}); return v.settled() }})")
    return page.picture()


@in_a_browser
def test_the_page_opens_at_the_first_view_and_looks_as_our_renderer_draws_it(shown) -> None:
    page, gaussians = shown
    ours = list(drawn(gaussians, VIEWS))
    page.run("splat.then(v => { v.start(); return v.settled() })")
    assert db(page.picture(), ours[0]) > ALIKE_DB
    assert db(seen_from(page, VIEWS[1]), ours[1]) > ALIKE_DB
    assert db(page.picture(), ours[0]) < 25  # what another view, or a mirrored one, would reach
    assert db(page.picture()[:, ::-1], ours[1]) < 25


@in_a_browser
def test_the_page_asks_the_network_for_nothing_and_runs_without_complaint(shown) -> None:
    page, _ = shown
    assert page.run("document.title").startswith("</script><script>document.title")
    asked = {address.partition(",")[0].partition("/")[0] for address in page.requests}
    assert asked == {"file:", "blob:null", "data:application"}
    assert [address for address in page.requests if address.startswith("file:")] == [page.run("location.href")]
    assert page.complaints == []


@in_a_browser
def test_the_page_could_not_ask_the_network_if_it_wanted_to_and_the_watch_is_awake(shown, tmp_path: Path) -> None:
    page, _ = shown
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/x"
        assert page.run(f"fetch('{address}').then(() => 'answered', () => 'refused')") == "refused"
        nobody.settimeout(0)
        with pytest.raises(BlockingIOError):
            nobody.accept()
        (tmp_path / "other.html").write_text("<title>asks</title>")
        with chromium() as browser:
            other = browser.page().open((tmp_path / "other.html").as_uri(), width=100, height=100)
            other.run(f"void fetch('{address}')")
            nobody.settimeout(60)
            nobody.accept()[0].close()
            other.run("1")
        assert address in other.requests
    assert "Content Security Policy" in page.complaints.pop()


@in_a_browser
def test_cameras_are_shown_on_demand_and_stepped_through(shown) -> None:
    page, _ = shown
    page.run("splat.then(v => { v.show({...v.told.start, fov_deg: 90}); return v.settled() })")
    before = page.picture()
    page.run("poses.click(), splat.then(v => v.settled())")
    with_cameras = page.picture()
    page.run("poses.click(), splat.then(v => v.settled())")
    assert (np.abs(with_cameras.astype(int) - before).max(axis=2) > 60).sum() > 20
    assert np.abs(page.picture().astype(int) - before).max() <= 8
    page.run("next.click(), next.click()")
    assert page.run("where.textContent") == "<i>clip.mp4 at 1.0 s, 2 of 2"
    assert page.run("splat.then(v => v.poseNow())") == pytest.approx(placed(VIEWS[1])["pose"], abs=1e-4)
    page.run("start.click()")
    assert page.run("splat.then(v => v.poseNow())") == pytest.approx(placed(VIEWS[0])["pose"], abs=1e-4)


@in_a_browser
def test_a_finger_and_a_mouse_turn_the_view_and_keep_it_upright(shown) -> None:
    page, _ = shown
    page.run("splat.then(v => { v.start(); v.moveBy('orbit'); v.orbit.enableDamping = false; return v.settled() })")
    first = np.array(page.run("splat.then(v => v.poseNow())")).reshape(4, 4)
    for kind, x in (("mousePressed", 100), ("mouseMoved", 160), ("mouseReleased", 160)):
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=90, button="left", buttons=1, clickCount=1)
    page.run("splat.then(v => v.settled())")
    dragged = np.array(page.run("splat.then(v => v.poseNow())")).reshape(4, 4)
    assert np.linalg.norm(dragged[:3, 3] - first[:3, 3]) > 0.3
    touch = [{"x": 100, "y": 90}], [{"x": 160, "y": 90}], []
    for kind, points in zip(("touchStart", "touchMove", "touchEnd"), touch, strict=True):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    page.run("splat.then(v => v.settled())")
    turned = np.array(page.run("splat.then(v => v.poseNow())")).reshape(4, 4)
    assert np.linalg.norm(turned[:3, 3] - dragged[:3, 3]) > 0.3
    for pose in (dragged, turned):
        assert abs(pose[1, 0]) < 1e-3  # the camera's right stays level
        assert pose[1, 1] > 0.5


KEYS = {"w": (0, 0, -1), "s": (0, 0, 1), "a": (-1, 0, 0), "d": (1, 0, 0), "r": (0, 1, 0), "f": (0, -1, 0)}
"""Where each key moves the camera, in its own axes: x right, y up, z backward."""
HELD = """new Promise(done => {
  let left = 10;
  const next = () => (left-- ? requestAnimationFrame(next) : done());
  next();
})"""


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Gaussians]]:
    """The page of a room, whose preview is a flight."""
    path, gaussians = written(tmp_path_factory.mktemp("room"), bricks(), kind="flight")
    with chromium() as browser:
        page = browser.page().open(path.as_uri(), width=SIZE[0], height=SIZE[1])
        page.run("splat.then(() => document.body.classList.add('bare'))")
        yield page, gaussians


def pose_now(page: Page) -> np.ndarray:
    return np.array(page.run("splat.then(v => v.poseNow())")).reshape(4, 4)


def pressed(page: Page, key: str, kind: str) -> None:
    code = f"Key{key.upper()}"
    page.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, windowsVirtualKeyCode=ord(key.upper()))


@in_a_browser
def test_the_page_of_a_flight_opens_at_its_first_view_comes_to_rest_and_asks_for_nothing(flown) -> None:
    page, gaussians = flown
    page.run("splat.then(v => v.settled())")
    assert pose_now(page).ravel() == pytest.approx(placed(VIEWS[0])["pose"], abs=1e-4)
    assert page.run("splat.then(v => v.mode)") == "fly"
    assert db(page.picture(), next(drawn(gaussians, VIEWS[:1]))) > ALIKE_DB
    assert {address.partition(":")[0] for address in page.requests} == {"file", "blob", "data"}
    assert [address for address in page.requests if address.startswith("file:")] == [page.run("location.href")]
    assert page.complaints == []


@in_a_browser
def test_keys_fly_the_way_that_the_page_says_until_they_are_let_go(flown) -> None:
    page, _ = flown
    for key, way in KEYS.items():
        page.run("start.click()")
        before = pose_now(page)
        pressed(page, key, "keyDown")
        page.run(HELD)
        pressed(page, key, "keyUp")
        after = pose_now(page)
        moved = before[:3, :3].T @ (after - before)[:3, 3]
        assert np.linalg.norm(moved) > 0.01, key
        np.testing.assert_allclose(moved / np.linalg.norm(moved), way, atol=0.01, err_msg=key)
        np.testing.assert_allclose(after[:3, :3], before[:3, :3], atol=1e-5)
    page.run("splat.then(v => v.settled())")
    rested = pose_now(page)
    page.run(HELD)
    np.testing.assert_allclose(pose_now(page), rested, atol=1e-6)


@in_a_browser
def test_a_camera_at_rest_stays_to_the_last_digit_so_that_nothing_is_sorted_again(flown) -> None:
    page, _ = flown
    rng = np.random.default_rng(0)
    eyes, looks = rng.normal(size=(100, 3)), rng.normal(size=(100, 3))
    told = [
        placed(View(name="", camera=CAMERA, cam_from_world=look_at(e, e + k))) for e, k in zip(eyes, looks, strict=True)
    ]
    moved = """splat.then(v => %s.filter(pose => {
      v.show(pose);
      for (let i = 0; i < 5; i++) v.flown();  // a pose of six digits is no rotation yet
      const before = [...v.camera.position.toArray(), ...v.camera.quaternion.toArray()];
      for (let i = 0; i < 10; i++) v.%s;
      return [...v.camera.position.toArray(), ...v.camera.quaternion.toArray()].some((x, i) => x !== before[i]);
    }).length)"""
    assert page.run(moved % (json.dumps(told), "flown()")) == 0
    assert page.run(moved % (json.dumps(told), "fly.update(v.camera)")) > 5  # as the controls by themselves do


@in_a_browser
def test_a_telephone_shows_all_that_an_orbit_turns_about_and_no_bent_picture_of_a_flight(flown) -> None:
    page, _ = flown
    try:
        page.call("Emulation.setDeviceMetricsOverride", width=380, height=800, deviceScaleFactor=1, mobile=True)
        seen = {}
        for mode in ("orbit", "fly"):
            page.run(f"splat.then(v => {{ v.start(); v.moveBy('{mode}'); v.resized(); }})")
            seen[mode] = page.run("splat.then(v => [v.camera.fov, v.camera.aspect, v.lens.fov_deg, v.lens.aspect])")
    finally:
        page.call(
            "Emulation.setDeviceMetricsOverride", width=SIZE[0], height=SIZE[1], deviceScaleFactor=1, mobile=False
        )
        page.run("splat.then(v => { v.start(); return v.settled() })")
    wide = {mode: np.tan(np.radians(fov / 2)) * aspect for mode, (fov, aspect, _, _) in seen.items()}
    made = np.tan(np.radians(seen["orbit"][2] / 2)) * seen["orbit"][3]
    assert wide["orbit"] == pytest.approx(made, rel=1e-3)
    assert seen["orbit"][0] > 90
    assert seen["fly"][0] == pytest.approx(90, abs=0.01)


@in_a_browser
def test_dragging_looks_around_where_one_stands(flown) -> None:
    page, _ = flown
    page.run("start.click()")
    before = pose_now(page)
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=100, y=90, button="left", buttons=1, clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=160, y=90, button="left", buttons=1)
    page.run(HELD)  # let go at once, it would turn on
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=160, y=90, button="left")
    after = pose_now(page)
    np.testing.assert_allclose(after[:3, 3], before[:3, 3], atol=1e-5)
    assert 0.9 < after[:3, 2] @ before[:3, 2] < 0.999
    assert abs(after[1, 0]) < 1e-3  # upright


@in_a_browser
def test_gaussians_that_were_trained_antialiased_are_drawn_so(tmp_path: Path) -> None:
    path, gaussians = written(tmp_path, bricks(antialiased=True, size=-5))
    with chromium() as browser:
        page = browser.page().open(path.as_uri(), width=SIZE[0], height=SIZE[1])
        page.run("splat.then(v => { document.body.classList.add('bare'); return v.settled() })")
        picture = page.picture()
    assert db(picture, next(drawn(gaussians, VIEWS[:1]))) > ALIKE_DB
    assert db(picture, next(drawn(replace(gaussians, antialiased=False), VIEWS[:1]))) < ALIKE_DB
