"""What a job needs follows its recipe and is no less than jobs were measured to take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.budget import WANTED
from splat_pipeline.domain.plans import CPU_LADDER, GPU_LADDER, Detail
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.room import GAUSSIAN_BYTES, MARGIN, DiskRules, Room, in_words, missing, needed

MEGABYTE = 10**6


@pytest.mark.parametrize(
    ("keys", "taken_mb", "inodes"),
    [
        # store and delivery of real jobs, by du -sb and find | wc -l: the fox's 50 photos, a figure, a walk at preview
        ({"detail": "preview"}, 114, 353),
        ({"detail": "preview"}, 136, 304),
        ({"detail": "preview"}, 57, 451),
        ({"detail": "reduced"}, 66, 181),
    ],
)
def test_the_estimate_holds_for_jobs_that_were_measured_and_is_no_fantasy(keys, taken_mb, inodes):
    need = needed(Recipe().overridden(keys, source="test"), upload_bytes=8 * MEGABYTE, zipped=False)
    assert taken_mb * MEGABYTE < need.size_bytes < 15 * taken_mb * MEGABYTE
    assert inodes < need.inodes < 5 * inodes


def test_more_frames_gaussians_or_a_zip_need_more():
    def size(keys, *, zipped=False):
        return needed(Recipe().overridden(keys, source="test"), upload_bytes=MEGABYTE, zipped=zipped).size_bytes

    assert size({"detail": "preview"}) < size({"detail": "reduced"}) < size({"detail": "full"}) == size({})
    assert size({"frames": {"max_keyframes": 300}}) > size({})
    assert size({"training": {"max_gaussians": 10**6}}) > size({}) + 2 * 10**9
    assert size({}, zipped=True) == size({}) + 2 * MEGABYTE


def test_a_training_on_a_gpu_and_programs_with_pictures_of_their_own_need_more():
    def need(keys, *, gpu=False):
        return needed(Recipe().overridden(keys, source="test"), upload_bytes=0, zipped=False, gpu=gpu)

    def size(trainer, *, gpu=False):
        return need({"training": {"trainer": trainer}}, gpu=gpu).size_bytes

    more = MARGIN * GAUSSIAN_BYTES * (GPU_LADDER[Detail.FULL].max_gaussians - CPU_LADDER[Detail.FULL].max_gaussians)
    assert size("auto", gpu=True) == size("gsplat") == size("cpu", gpu=False) + more
    assert size("auto") == size("cpu")
    assert size("cpu", gpu=True) == size("cpu"), "a machine's GPU is nothing to who does not use it"
    images = WANTED["auto"] * 1280 * 960 * 3  # as large as frames are kept
    assert size("nerfstudio") == size("brush") == size("gsplat") + images
    film = {"width_px": 640, "height_px": 360, "fps": 10, "seconds": 3}
    ours, theirs = (need({"preview": film | {"drawn_by": by}}) for by in ("own", "nerfstudio"))
    assert theirs.size_bytes - ours.size_bytes == 30 * 2 * 640 * 360 * 3, "colour and alpha, side by side"
    assert theirs.inodes - ours.inodes == 30


@given(
    free=st.integers(0, 10**12), inodes=st.none() | st.integers(0, 10**7), need=st.integers(0, 10**10),
    running=st.integers(0, 9),
)  # fmt: skip
def test_a_run_waits_exactly_when_the_floor_would_be_touched(free, inodes, need, running):
    rules = DiskRules(floor_gb=1, floor_inodes=1000)
    lack = missing(Room(size_bytes=free, inodes=inodes), Room(size_bytes=need, inodes=10), rules, running=running)
    enough = free >= need * (running + 1) + 10**9 and (inodes is None or inodes >= 10 * (running + 1) + 1000)
    assert (in_words(Room(size_bytes=free, inodes=inodes), lack) is None) == enough
    topped = Room(size_bytes=free + lack.size_bytes, inodes=None if inodes is None else inodes + lack.inodes)
    again = missing(topped, Room(size_bytes=need, inodes=10), rules, running=running)
    assert (again.size_bytes, again.inodes) == (0, 0)


def test_the_words_say_what_is_missing_and_what_is_there():
    words = in_words(Room(size_bytes=10**9, inodes=5), Room(size_bytes=5 * 10**8, inodes=7))
    assert words == "new runs wait for 0.50 GB of disk (1.00 GB are free) and 7 inodes (5 are free)"
