"""Pictures for docs/gallery: report, viewer and poster of delivered jobs, and Dagster's UI, as Chromium shows them.

    python benchmarks/gallery.py --home HOME --out docs/gallery --jobs demo=table room yard [--ui http://127.0.0.1:3000]
                                 [--pair docs/demo.jpg]

``HOME`` is a SPLAT__HOME in which jobs of these names were delivered, shown under another name after "=".
See docs/gallery/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser import Browser, chromium  # it lies with the tests

from resources.images import KeyframeImages
from splat_pipeline.assets.pictures import drawn
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings

DRAWN = """new Promise(done => {
  let still = 0, before = '';
  const look = () => {
    const nodes = [...document.querySelectorAll('foreignObject')];
    const now = nodes.map(node => JSON.stringify(node.getBoundingClientRect())).join();
    still = nodes.length > 10 && now === before ? still + 1 : 0;
    before = now;
    still < 40 ? setTimeout(look, 250) : done();
  };
  look();
})"""
"""The graph is laid out in a worker, drawn, and moved into view: it is there when its nodes stand still for 10 s."""
WIDE, PHONE = (1080, 1500), (380, 1100)
VIEWER = (1080, 608)
UI = (2000, 1340)
"""Tall enough that the graph, which Dagster makes as wide as its pane, is not cut."""
BETWEEN_PX = 8


def main() -> None:
    """Write <job>-{report,phone,viewer,poster,turntable}.jpg of every job, ui.jpg, and the pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", nargs="+", required=True)
    parser.add_argument("--ui", help="address of Dagster's UI")
    parser.add_argument("--pair", type=Path, help="write a held-out frame of the first job and its rendering here")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for job in asked.jobs:
            name, _, shown = job.partition("=")
            shoot(browser, delivered(asked.home, name), asked.out / (shown or name))
        if asked.ui:
            page = browser.page().open(f"{asked.ui}/asset-groups", width=UI[0], height=UI[1])
            page.run(DRAWN)
            save(page.picture(), asked.out / "ui.jpg")
    if asked.pair:
        save(
            pair(asked.home, delivered(asked.home, asked.jobs[0].partition("=")[0]).parent.name), asked.pair, quality=88
        )


def delivered(home: Path, job: str) -> Path:
    """Return the package that was delivered last for the job of that name."""
    manifests = (home / "delivered").glob(f"{job}-*/*/delivery.json")
    return max(manifests, key=lambda path: path.stat().st_mtime).parent


def shoot(browser: Browser, package: Path, stem: Path) -> None:
    """Write the pictures of one package."""
    facts = json.loads((package / "delivery.json").read_text())
    print(stem.name, facts["detail"], facts["metrics"])
    page = browser.page()
    for size, name in ((WIDE, "report"), (PHONE, "phone")):
        page.open(
            (package / "report.html").as_uri(), width=size[0], height=size[1], scale=1.5 if name == "phone" else 1
        )
        save(page.picture(), stem.with_name(f"{stem.name}-{name}.jpg"))
    page.open((package / "viewer.html").as_uri(), width=VIEWER[0], height=VIEWER[1])
    # On a flight the cameras stand in the way.
    page.run("splat.then(v => { v.mode === 'orbit' && poses.click(); return v.settled() })")
    save(page.picture(), stem.with_name(f"{stem.name}-viewer.jpg"))
    for name in ("poster", "turntable"):
        with Image.open(package / f"{name}.jpg") as picture:
            picture.thumbnail((1080, 1080))
            picture.save(stem.with_name(f"{stem.name}-{name}.jpg"), quality=82, optimize=True)


def pair(home: Path, job: str) -> np.ndarray:
    """Return the middle one of a job's held-out frames, and beside it the splat from the same place, as trained."""
    store = store_of(Settings(home=str(home)))
    folders = [store.fetch(job, name).folder for name in ("keyframes", "camera_poses", "point_cloud")]
    plan = json.loads((store.fetch(job, "splat").folder / "plan.json").read_text())
    held = KeyframeImages().load(*folders, longer_side_px=plan["longer_side_px"], holdout=True)
    photo, view = held.images[len(held.images) // 2], held.views[len(held.images) // 2]
    splat = next(drawn(read_ply(store.fetch(job, "cleaned").folder / "gaussians.ply"), [view]))
    return np.concatenate([photo, np.full((len(photo), BETWEEN_PX, 3), 255, np.uint8), splat], axis=1)


def save(picture: np.ndarray, path: Path, *, quality: int = 80) -> None:
    """Write (H, W, 3) RGB as JPEG."""
    Image.fromarray(picture).save(path, quality=quality, optimize=True)


if __name__ == "__main__":
    main()
