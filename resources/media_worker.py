"""What looks into uploads: ``python -P -m resources.media_worker request.json``, always a child process with limits.

An answer is a mapping, or ``{"error": SplatError.to_json()}`` where the upload is at fault, or the machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resources.clips import DamagedError
from resources.measure_files import write_measures
from resources.media import PyAvReader
from splat_pipeline.domain.errors import SplatError, UnsupportedMedia
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.positions import Fix, Track
from splat_pipeline.domain.uploads import VideoFacts

Request = dict[str, Any]


def say(line: str) -> None:
    """Tell the parent a line of progress."""
    print(line, flush=True)  # noqa: T201  # the parent reads standard output


def probe(request: Request) -> dict[str, Any]:
    """Return the facts of a clip or image set."""
    return {"facts": asdict(PyAvReader().probe(Path(request["path"])))}


def positions(request: Request) -> dict[str, Any]:
    """Return where the camera of a clip or image set was; null where nothing says so."""
    beside = None if request["subtitles"] is None else Path(request["subtitles"])
    track = PyAvReader().positions(Path(request["path"]), facts_of(request["facts"]), subtitles=beside)
    return {"track": None if track is None else asdict(track)}


def measure(request: Request) -> dict[str, Any]:
    """Measure a clip or image set into files: see ``resources.measure_files``."""
    path, facts = Path(request["path"]), facts_of(request["facts"])

    def write(reader: PyAvReader) -> int:
        options = {"fps": request["fps"], "longer_side_px": request["longer_side_px"]}
        return write_measures(reader.measure(path, facts, **options, say=say), Path(request["out"]))

    return {"frames": _read(write, request)}


def extract(request: Request) -> dict[str, Any]:
    """Write frames as images."""
    path, facts = Path(request["path"]), facts_of(request["facts"])
    refs = [FrameRef(**ref) for ref in request["frames"]]

    def write(reader: PyAvReader) -> list[tuple[str, int, int]]:
        size, quality = request["longer_side_px"], request["quality"]
        return reader.extract(path, facts, refs, Path(request["out"]), longer_side_px=size, quality=quality)

    return {"written": _read(write, request)}


def unpack(request: Request) -> dict[str, Any]:
    """Unpack a zip."""
    return {"files": PyAvReader().unpack(Path(request["path"]), Path(request["out"]))}


def tables(request: Request) -> dict[str, Any]:
    """Read every table of a folder."""
    PyAvReader().check_tables(Path(request["path"]))
    return {}


def facts_of(told: dict[str, Any]) -> VideoFacts:
    """Return what ``asdict`` made of the facts, and JSON of that."""
    sizes = {name: (width, height) for name, (width, height) in told["image_sizes"].items()}
    return VideoFacts(**{**told, "images": tuple(told["images"]), "image_sizes": sizes})


def track_of(told: dict[str, Any] | None) -> Track | None:
    """Return what ``asdict`` made of a track, and JSON of that."""
    return None if told is None else Track(source=told["source"], fixes=tuple(Fix(**fix) for fix in told["fixes"]))


def _read(work: Callable[[PyAvReader], Any], request: Request) -> Any:
    try:
        return work(PyAvReader(threads=request["threads"]))
    except DamagedError as error:
        say(f"{error} is damaged: it is read again by one thread, which gives the same frames every time")
        return work(PyAvReader())


COMMANDS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "probe": probe,
    "positions": positions,
    "unpack": unpack,
    "tables": tables,
    "measure": measure,
    "extract": extract,
}


def main() -> None:
    """Answer one request."""
    request: Request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer = COMMANDS[request["command"]](request)
    except SplatError as error:
        answer = {"error": error.to_json()}
    except MemoryError:
        name = Path(request["path"]).name
        answer = {"error": UnsupportedMedia(f"{name} asks for more memory than a clip may have", file=name).to_json()}
    Path(request["result"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
