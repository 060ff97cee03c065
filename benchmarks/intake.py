"""How many uploads a minute the real daemon brings to an end, and what a look at the inbox costs with many known jobs.

    python benchmarks/intake.py --json build/intake.json

Uploads are tiny: good clips, broken ones, texts without a clip, wrong job files, and the content of others again. The
code location has the real doors and the real first stage, and delivers at once after it (``intake_graph.py``). Each
upload must end as exactly one result or one classified error: figures that are not all right end it with 1.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import dagster as dg
import numpy as np

from resources.sealed import sealed
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.definitions import JOB, doors
from splat_pipeline.domain.intake import PARTITION_TAG, STAMP_TAG, UPLOAD_TAG
from splat_pipeline.domain.uploads import Upload
from splat_pipeline.launch import make_home
from splat_pipeline.overview import store_of
from splat_pipeline.settings import Settings

KINDS = ("good", "broken", "text", "wrong", "text", "wrong", "text", "wrong", "again", "single")
"""What ten uploads are; ``again`` has the content of the good one before it. Three of them need a run."""
CLASSES = {"broken": "UnreadableMedia", "single": "UnreadableMedia", "text": "EmptyUpload", "wrong": "BadJobFile"}
LOOK_S = 0.5


def clip(path: Path, seed: int) -> None:
    """Write ten small frames of coloured squares, others for every seed."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        for i in range(10):
            squares = rng.integers(0, 255, (10, 12, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
            frame = av.VideoFrame.from_ndarray(squares, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def drop(inbox: Path, number: int) -> tuple[str, str]:
    """Put one upload into the inbox by one rename; return its name and kind."""
    kind, rng = KINDS[number % len(KINDS)], random.Random(number)
    name = f"upload {number}" + (".mp4" if kind == "single" else "")
    half = inbox / f".{name}"
    if kind == "single":
        half.write_bytes(rng.randbytes(2000))
    else:
        half.mkdir()
        if kind in ("good", "again"):
            clip(half / "a.mp4", number // len(KINDS))
        elif kind == "text":
            (half / "notes.txt").write_text(str(number))
        else:
            (half / "a.mp4").write_bytes(rng.randbytes(2000))
        if kind == "wrong":
            (half / "job.yaml").write_text("priority: urgent")
    half.rename(inbox / name)
    return name, kind


def ended(settings: Settings, name: str) -> list[dict]:
    """Return what is told beside an upload on its shelf: one marker, when all is well, and the upload itself."""
    told = []
    for place, ending in (("processed", "result"), ("errors", "reason")):
        marker = Path(settings.place(place)) / f"{name}.{ending}.json"
        if marker.exists() and (marker.parent / name).exists():
            told.append(json.loads(marker.read_text()))
    return told


def through_the_daemon(settings: Settings, uploads: int, *, limit_s: float) -> dict:
    """Drop uploads while the daemon runs; return what became of them, and how long that took."""
    home, inbox = make_home(settings), Path(settings.place("inbox"))
    dropped = dict(drop(inbox, number) for number in range(uploads))
    graph = Path(__file__).with_name("intake_graph.py")
    workspace = home / "workspace.yaml"
    workspace.write_text(f"load_from: [python_file: {{relative_path: {graph}, location_name: splat_pipeline}}]\n")
    environment = {
        "SPLAT__HOME": settings.home,
        "SPLAT__STABLE_S": "1",
        "SPLAT__POLL_S": "5",
        "DAGSTER_HOME": str(home),
    }
    environment["SPLAT__EXECUTOR"] = settings.executor
    began = time.monotonic()
    with (home / "daemon.log").open("w") as log:
        daemon = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", workspace],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while time.monotonic() - began < limit_s and daemon.poll() is None:
                if all(ended(settings, name) for name in dropped) and not any(inbox.iterdir()):
                    break
                time.sleep(LOOK_S)
        finally:
            seconds = time.monotonic() - began
            os.killpg(daemon.pid, signal.SIGTERM)
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
    return counted(settings, dropped) | {"seconds": round(seconds, 1), "per_minute": round(60 * uploads / seconds, 2)}


def counted(settings: Settings, dropped: dict[str, str]) -> dict:
    """Return how the uploads ended, by what a person would miss."""
    figures: Counter[str] = Counter(
        uploads=len(dropped), delivered=0, classified=0, again=0, lost=0, duplicated=0, wrong=0
    )
    store = store_of(settings)
    with dg.DagsterInstance.from_config(str(settings.folder("dagster"))) as instance:
        runs = Counter(run.tags[PARTITION_TAG] for run in instance.get_runs())
    for name, kind in dropped.items():
        told = ended(settings, name)
        figures["lost"] += not told
        figures["duplicated"] += len(told) > 1
        for one in told[:1]:
            right = one.get("class") == CLASSES.get(kind)
            if kind == "good":
                right &= store.delivery_of(one["job"]) is not None and runs[one["job"]] == 1
            figures["wrong"] += not right
            figures["classified" if "class" in one else "again" if kind == "again" else "delivered"] += 1
    return {**figures, "runs": runs.total()}


def remember(instance: dg.DagsterInstance, store: Path, processed: Path, keys: list[str]) -> None:
    """Write what a run of each job leaves: in the store, on the shelf and in Dagster's log, without flushing each."""
    (store / "contents").mkdir(parents=True)
    for key in keys:
        (processed / key).mkdir()
        (store / "jobs" / key).mkdir(parents=True)
        upload = Upload(job=key, title=key, location=str(processed / key), files=())
        (store / "jobs" / key / "upload.json").write_bytes(sealed(upload.to_json()))
        (store / "contents" / f"{key.encode().hex():0>64}.json").write_bytes(sealed({"job": key}))
    storage = instance.run_storage
    with storage.connect() as connection:  # one transaction
        storage.connect = lambda: nullcontext(connection)
        for key in keys:
            tags = {PARTITION_TAG: key, UPLOAD_TAG: key, STAMP_TAG: "0"}
            storage.add_run(dg.DagsterRun(job_name=JOB, tags=tags, status=dg.DagsterRunStatus.SUCCESS))
        del storage.connect


LOOKED_AT = ("uploads", "outcomes")


def with_known_jobs(settings: Settings, known: int) -> dict:
    """Return how long the sensors take to look, in seconds: with 125 uploads in the inbox, 25 of them complete."""
    home = make_home(settings)
    keys = [f"job-{i:08x}" for i in range(known)]
    processed, inbox = Path(settings.place("processed")), Path(settings.place("inbox"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions(str(jobs.name), keys)
        remember(instance, Path(settings.place("store")), processed, keys)
        for number in range(125):
            clip_of = inbox / f"upload {number}"
            clip_of.mkdir()
            clip(clip_of / "a.mp4", number)
            if number < 25:
                (clip_of / ".done").touch()
        seconds, cursor, requested = {}, {}, []
        for turn in ("first", "idle"):
            for sensor in (each for each in doors(settings) if each.name in LOOKED_AT):
                context = dg.build_sensor_context(instance=instance, cursor=cursor.get(sensor.name))
                began = time.perf_counter()
                result = sensor(context)
                seconds[f"{sensor.name}_{turn}_s"] = round(time.perf_counter() - began, 3)
                cursor[sensor.name] = result.cursor
                requested.append(len(result.run_requests or []))
    return {"known": known, **seconds, "requested": requested[0], "cursor_bytes": len(cursor["uploads"])}


def main() -> int:
    """Measure both; print and write the figures; return 1 when an upload did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--known", type=int, default=10_000)
    parser.add_argument("--executor", choices=["multiprocess", "in_process"], default="multiprocess")
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which uploads count as lost")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the daemon ends too
    with tempfile.TemporaryDirectory(prefix="splat-intake-") as folder:
        figures: dict = {}
        if chosen.known:
            figures["sensors"] = with_known_jobs(Settings(home=f"{folder}/known", stable_s=3600), chosen.known)
            print(json.dumps(figures["sensors"]), flush=True)
        if chosen.uploads:
            settings = Settings(home=f"{folder}/daemon", executor=chosen.executor)
            figures["daemon"] = through_the_daemon(settings, chosen.uploads, limit_s=chosen.limit)
            print(json.dumps(figures["daemon"]), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    daemon = figures.get("daemon", {})
    return int(any(daemon.get(name) for name in ("lost", "duplicated", "wrong")))


if __name__ == "__main__":
    sys.exit(main())
