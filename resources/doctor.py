"""Is everything there that this installation needs, and what to do where it is not. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from resources import nerfstudio, pose_sources, programs, trainers
from resources.machine import free_bytes, has_nvidia_gpu, usable_cores
from resources.places import place_of
from resources.sandbox import watch_child
from splat_pipeline.domain.errors import SplatError

State = Literal["good", "warning", "bad"]
LITTLE_DISK, NO_DISK = 20e9, 2e9
"""Bytes: a job of an hour of video takes some ten of them."""
LITTLE_MEMORY = 3e9
ENCODER = "libx264"
TOOL_S = 60.0
ENVIRONMENTS = {
    nerfstudio.VARIABLE: "nerfstudio",
    programs.CHECKOUT: "gaussian-splatting",
    "SPLAT_OPENSPLAT": "opensplat",
    "SPLAT_BRUSH": "brush",
}
"""Environment variable: the trainer that it is for. Only those that are set are looked at."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: State
    says: str
    remedy: str | None = None


def examine(places: Mapping[str, str]) -> list[Finding]:
    """Look at everything. ``places``: paths and URLs of the installation, by name."""
    findings = [*_ffmpeg(), _gpu(), _memory(), _kernels()]
    findings += [_place(name, where) for name, where in places.items()]
    return [*findings, *_environments(), *_plugins()]


def as_json(findings: list[Finding]) -> dict[str, object]:
    """Return plain values: ``healthy`` unless something is bad."""
    return {"healthy": all(f.state != "bad" for f in findings), "findings": [asdict(f) for f in findings]}


def _ffmpeg() -> Iterator[Finding]:
    import imageio_ffmpeg

    remedy = "Install the package again: pip install --force-reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE."
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        done = watch_child([program, "-hide_banner", "-h", f"encoder={ENCODER}"], time_limit_s=TOOL_S)
    except (RuntimeError, SplatError) as error:
        yield Finding(name="ffmpeg", state="bad", says=str(error), remedy=remedy)
        return
    if done.problem is not None:
        yield Finding(name="ffmpeg", state="bad", says=done.problem.cause, remedy=remedy)
        return
    yield Finding(name="ffmpeg", state="good", says=program)
    if any(line.startswith(f"Encoder {ENCODER} ") for line in done.last_lines):
        yield Finding(name="encoder", state="good", says=f"{ENCODER} is there: previews can be written")
    else:
        lacks = f"{program} lacks {ENCODER}, by which previews are written"
        yield Finding(name="encoder", state="bad", says=lacks, remedy=remedy)


def _gpu() -> Finding:
    trainer, reason = trainers.InstalledTrainers().found(trainers.BY_ITSELF)
    if trainer is not None and reason is None:
        return Finding(name="gpu", state="good", says="gsplat can be used: trainings run on the GPU by themselves")
    if not has_nvidia_gpu():
        return Finding(name="gpu", state="good", says=f"no NVIDIA GPU: trainings run on the CPU ({reason})")
    what = "Do what the reason says; until then trainings run on the CPU."
    return Finding(name="gpu", state="warning", says=f"there is an NVIDIA GPU and {reason}", remedy=what)


def _memory() -> Finding:
    free, cores = free_bytes(), usable_cores()
    if free is None:
        return Finding(name="memory", state="good", says=f"not told by this system; {cores} cores")
    says = f"{free / 1e9:.1f} GB may be taken; {cores} cores"
    if free >= LITTLE_MEMORY:
        return Finding(name="memory", state="good", says=says)
    remedy = "Close other programs, or raise the container's limit: plans are made smaller to fit."
    return Finding(name="memory", state="warning", says=says, remedy=remedy)


def _kernels() -> Finding:
    from splat_pipeline.splatting import kernels

    for folder in kernels.folders(Path(kernels.__file__)):
        if _can_write(folder):
            return Finding(name="kernels", state="good", says=f"compiled kernels are kept in {folder}")
    remedy = "Set NUMBA_CACHE_DIR to a folder that can be written."
    says = "compiled kernels cannot be kept: every process compiles them anew, half a minute each"
    return Finding(name="kernels", state="warning", says=says, remedy=remedy)


def _place(name: str, where: str) -> Finding:
    """Look at a folder, or ask an object store whether it answers."""
    place = place_of(where)
    folder = place.here()
    if folder is not None:
        return _folder(name, folder)
    try:
        place.check()
    except (SplatError, ImportError) as error:
        remedy = error.remedy if isinstance(error, SplatError) else "Install what the message names: see the extras."
        return Finding(name=name, state="bad", says=f"{place.url}: {error}", remedy=remedy)
    return Finding(name=name, state="good", says=f"{place.url} answers")


def _folder(name: str, folder: Path) -> Finding:
    if not _can_write(folder):
        remedy = f"Make {folder} writable, or have it elsewhere: SPLAT__HOME, and the settings of single folders."
        return Finding(name=name, state="bad", says=f"{folder} cannot be written", remedy=remedy)
    free = shutil.disk_usage(_there(folder)).free
    says = f"{folder}: {free / 1e9:.0f} GB free"
    state: State = "good" if free >= LITTLE_DISK else "warning" if free >= NO_DISK else "bad"
    what = None if state == "good" else "Free disk space: old packages and artifacts first."
    return Finding(name=name, state=state, says=says, remedy=what)


def _environments() -> Iterator[Finding]:
    """Look at the environments of other programs that somebody has named."""
    known = trainers.InstalledTrainers()
    for variable, name in ENVIRONMENTS.items():
        if variable not in os.environ:
            continue
        _, reason = known.found(name)
        state: State = "good" if reason is None else "bad"
        remedy = None if reason is None else f"Correct {variable}, or unset it."
        yield Finding(name=variable, state=state, says=reason or f"{name} can be used", remedy=remedy)


def _plugins() -> Iterator[Finding]:
    """Look at what others have installed and cannot be used."""
    listed: list[Callable[[], list[dict[str, str | bool | None]]]] = [pose_sources.listed, trainers.listed]
    ours = {point.name for point in trainers.OURS}
    for row in (row for rows in listed for row in rows()):
        if not row["available"] and not (str(row["kind"]).startswith("trainer") and row["name"] in ours):
            what = "Do what the reason says, or uninstall the plugin."
            yield Finding(name=str(row["name"]), state="warning", says=str(row["reason"]), remedy=what)


def _there(folder: Path) -> Path:
    """Return ``folder``, or what is there of the way to it."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _can_write(folder: Path) -> bool:
    """Tell whether files can be made in ``folder``, or where it would have to be made."""
    try:
        with tempfile.TemporaryFile(dir=_there(folder)):
            return True
    except OSError:
        return False
