"""Pictures for docs/gallery: report, viewer and poster of delivered jobs, and Dagster's UI, as Chromium shows them.

    python benchmarks/gallery.py --home HOME --out docs/gallery --jobs demo=table room yard [--ui http://127.0.0.1:3000]

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


def main() -> None:
    """Write <job>-{report,phone,viewer,poster}.jpg of every job, and ui.jpg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", nargs="+", required=True)
    parser.add_argument("--ui", help="address of Dagster's UI")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for job in asked.jobs:
            name, _, shown = job.partition("=")
            shoot(browser, delivered(asked.home, name), asked.out / (shown or name))
        if asked.ui:
            page = browser.page().open(f"{asked.ui}/asset-groups", width=2200, height=1300)
            page.run(DRAWN)
            save(page.picture(), asked.out / "ui.jpg")


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


def save(picture: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) RGB as JPEG."""
    Image.fromarray(picture).save(path, quality=80, optimize=True)


if __name__ == "__main__":
    main()
