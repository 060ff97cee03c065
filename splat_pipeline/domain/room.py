"""Room on a disk: what a job will take, and whether there is enough for one more.

The figures rest on what was measured of jobs of 41 to 160 keyframes: 0.6 to 1.5 MB a keyframe for pictures, features,
matches and models together, and 250 bytes a Gaussian of third degree in each of the places where Gaussians are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from splat_pipeline.domain.budget import WANTED
from splat_pipeline.domain.plans import CPU_LADDER, GPU_LADDER, Detail, Rung
from splat_pipeline.domain.recipe import Recipe

PICTURE_BYTES_A_PX = 0.6
"""A JPEG of quality 95."""
ASPECT = 3 / 4
FEATURE_BYTES = 260
"""Position and descriptor, and its part in three copies of the model."""
GAUSSIAN_BYTES = 2500
"""Trained, cleaned, exported in every format, packed, delivered, and as a checkpoint with the optimiser's state."""
LOSSLESS_BYTES_A_PX = 3
"""Of colour, as a PNG that cannot be made smaller."""
FIXED_BYTES, FIXED_INODES = 100_000_000, 500
MARGIN = 1.5
GIGABYTE = 1e9


class DiskRules(BaseModel):
    """When new runs wait for room."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    floor_gb: float = Field(2.0, ge=0, description="stays free beside what running jobs and the next one need")
    floor_inodes: int = Field(10_000, ge=0, description="the same for files, where the file system counts them")
    spare_days: float = Field(
        1.0, ge=0, description="for want of room, what is older and delivered goes before its time, uploads first"
    )


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes and inodes, free or needed. Inodes are None where a file system does not count them."""

    size_bytes: int
    inodes: int | None


def needed(recipe: Recipe, *, upload_bytes: int, zipped: bool, gpu: bool = False) -> Room:
    """Return what a job takes at most, as far as its recipe and its upload tell.

    ``zipped``: the upload is unpacked beside the artifacts. The upload itself is there already. ``gpu``: a training
    that may choose takes one, and with it as many Gaussians as it is for.
    """
    keyframes = recipe.frames.max_keyframes or WANTED[recipe.detail]
    picture = recipe.frames.longer_side_px**2 * ASPECT * PICTURE_BYTES_A_PX
    trainer = recipe.training.trainer
    ladder = CPU_LADDER if trainer == "cpu" or (trainer == "auto" and not gpu) else GPU_LADDER
    rung = ladder[Detail.FULL if recipe.detail == "auto" else Detail(recipe.detail)]
    gaussians = recipe.training.max_gaussians or rung.max_gaussians
    each = picture + recipe.poses.max_features * FEATURE_BYTES
    whole = MARGIN * (keyframes * each + gaussians * GAUSSIAN_BYTES) + FIXED_BYTES
    shots, pictures = _lossless(recipe, keyframes, rung)
    inodes = 2 * keyframes + shots + FIXED_INODES
    return Room(size_bytes=int(whole) + pictures + (2 * upload_bytes if zipped else 0), inodes=inodes)


def _lossless(recipe: Recipe, keyframes: int, rung: Rung) -> tuple[int, int]:
    """Return how many pictures without loss programs get or draw, and their bytes; they do not stay.

    A training gets the images, a film by nerfstudio is colour and alpha of each frame side by side.
    """
    images = 0 if recipe.training.trainer in {"auto", "cpu", "gsplat"} else keyframes
    side = min(recipe.training.longer_side_px or rung.longer_side_px, recipe.frames.longer_side_px)
    film = recipe.preview
    frames = round(film.seconds * film.fps) if film.drawn_by == "nerfstudio" else 0
    px = images * int(side**2 * ASPECT) + frames * 2 * film.width_px * film.height_px
    return images + frames, px * LOSSLESS_BYTES_A_PX


def missing(free: Room, need: Room, rules: DiskRules, *, running: int) -> Room:
    """Return what is missing for one more job of ``need`` while ``running`` others may still take as much; or zeros."""
    want_bytes = need.size_bytes * (running + 1) + int(rules.floor_gb * GIGABYTE)
    want_inodes = (need.inodes or 0) * (running + 1) + rules.floor_inodes
    short = 0 if free.inodes is None else max(0, want_inodes - free.inodes)
    return Room(size_bytes=max(0, want_bytes - free.size_bytes), inodes=short)


def in_words(free: Room, lack: Room) -> str | None:
    """Return why a run has to wait; None when nothing is missing."""
    told = []
    if lack.size_bytes:
        told.append(f"{lack.size_bytes / GIGABYTE:.2f} GB of disk ({free.size_bytes / GIGABYTE:.2f} GB are free)")
    if lack.inodes:
        told.append(f"{lack.inodes} inodes ({free.inodes} are free)")
    return f"new runs wait for {' and '.join(told)}" if told else None
