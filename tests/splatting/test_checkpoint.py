"""A killed training goes on where it was and ends as if nothing had happened; what is not its own is never taken."""

import errno
import hashlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_train import PLAN, world

from splat_pipeline.domain.cameras import View
from splat_pipeline.domain.errors import Diverged
from splat_pipeline.splatting import checkpoint
from splat_pipeline.splatting.checkpoint import Checkpoints, Fingerprint, Keeper, State
from splat_pipeline.splatting.pictures import block_mean
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.studio import Studio
from splat_pipeline.splatting.train import Probe, train

__all__ = ["world"]

RECIPE = TrainRecipe(least_side_px=12)
"""So that the small scene goes through all three resolutions."""
STEADY = replace(RECIPE, background="black", background_fade=0, ssim_weight=RECIPE.coarse_ssim_weight)
"""With losses that do not hang upon the colour behind or the resolution."""


class Killed(Exception):
    pass


def digest(trained):
    names = ("means", "quats", "log_scales", "logit_opacities", "sh")
    return hashlib.sha256(b"".join(getattr(trained.gaussians, name).tobytes() for name in names)).hexdigest()


def often(folder, **changes):
    said = []
    asked = {"every_iterations": 10, "most_share": np.inf, "say": said.append, **changes}
    return Checkpoints(folder=folder, **asked), said


def until(share, error=Killed):
    """A probe that ends the training after ``share`` of its course."""

    def end(*_):
        raise error

    return Probe(shares=[share], call=end)


@pytest.fixture(scope="module")
def whole(world):
    return train(*world, PLAN, recipe=RECIPE)


@pytest.mark.parametrize("share", [0.08, 0.31, 0.62, 0.95])
def test_a_training_that_was_killed_ends_bit_by_bit_as_if_it_had_not_been(world, whole, tmp_path, share):
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(share))
    checkpoints, said = often(tmp_path)
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=checkpoints, probe=until(share))
    assert said == [f"going on after iteration {round(150 * share) // 10 * 10}, from a checkpoint"]
    assert len(list(tmp_path.iterdir())) == 1
    checkpoints, said = often(tmp_path)
    again = train(*world, PLAN, recipe=RECIPE, checkpoints=checkpoints)
    assert len(said) == 1
    assert digest(again) == digest(whole)
    for mine, other in zip(again.history, whole.history, strict=True):
        assert replace(mine, seconds=0) == replace(other, seconds=0)
    assert np.all(np.diff([step.seconds for step in again.history]) > 0)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_checkpoint import RECIPE, PLAN, Probe, Checkpoints, digest, train
from test_train import world
kill = Probe(shares=[float(sys.argv[2])], call=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
checkpoints = Checkpoints(folder=Path(sys.argv[1]), every_iterations=10, most_share=1e9, say=print)
print(digest(train(*world.__wrapped__(), PLAN, recipe=RECIPE, checkpoints=checkpoints, probe=kill)))
"""


@pytest.mark.usefixtures("whole")
def test_a_process_that_is_killed_with_sigkill_loses_nothing_but_the_last_iterations(tmp_path):
    """All that is compared is from processes that load the kernels: one that compiles them rounds otherwise."""
    code = KILLED.format(tests=str(Path(__file__).parent))

    def run(folder, share):
        words = [sys.executable, "-c", code, str(tmp_path / folder), str(share)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    alone = run("alone", 2.0)
    assert len(alone.stdout.strip()) == 64, alone.stderr
    first = run("killed", 0.5)
    assert first.returncode == -signal.SIGKILL, first.stderr
    last = run("killed", 2.0)
    assert last.stdout == "going on after iteration 70, from a checkpoint\n" + alone.stdout, last.stderr


@pytest.mark.parametrize("damage", ["truncated", "changed", "emptied"])
def test_a_damaged_checkpoint_is_said_to_be_and_the_training_begins_anew(world, whole, tmp_path, damage):
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(0.5))
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"truncated": content[:-1], "changed": content, "emptied": b""}[damage])
    (tmp_path / ".half-1").write_bytes(b"of a process that was killed while it wrote")
    checkpoints, said = often(tmp_path, every_iterations=1000)
    assert digest(train(*world, PLAN, recipe=RECIPE, checkpoints=checkpoints)) == digest(whole)
    assert said == [f"the checkpoint {file.name} is damaged and of no use"]
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_of_another_training_is_never_taken(world, tmp_path):
    images, views, points, colors = world
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(0.5))
    changed = [images[0].copy(), *images[1:]]
    changed[0][3, 5, 1] ^= 1
    moved = views[0].cam_from_world.copy()
    moved[0, 3] += 1e-9
    others = [
        (world, replace(PLAN, seed=8), RECIPE),
        (world, replace(PLAN, iterations=151), RECIPE),
        (world, PLAN, replace(RECIPE, color_rate=1e-3)),
        ((changed, views, points, colors), PLAN, RECIPE),
        ((images, [replace(views[0], cam_from_world=moved), *views[1:]], points, colors), PLAN, RECIPE),
        ((images, views, points + 1e-12, colors), PLAN, RECIPE),
        ((images, views, points, colors[::-1]), PLAN, RECIPE),
    ]
    for given, plan, recipe in others:
        checkpoints, said = often(tmp_path)
        with pytest.raises(Killed):
            train(*given, plan, recipe=recipe, checkpoints=checkpoints, probe=until(0.05))
        assert said == []
    checkpoints, said = often(tmp_path)
    with pytest.raises(Killed):
        train(*world, PLAN.because("told later"), recipe=RECIPE, checkpoints=checkpoints, probe=until(0.6))
    assert said == ["going on after iteration 70, from a checkpoint"]


def test_a_state_that_does_not_fit_the_program_is_said_and_not_used(world, whole, tmp_path, monkeypatch):
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(0.5))
    own = Keeper.own

    def older(keeper):
        state = own(keeper)
        arrays = {**state.arrays, "people.first": state.arrays["people.first"].astype(np.float16)}
        return State(facts=state.facts, arrays=arrays)

    monkeypatch.setattr(Keeper, "own", older)
    checkpoints, said = often(tmp_path)
    assert digest(train(*world, PLAN, recipe=RECIPE, checkpoints=checkpoints)) == digest(whole)
    assert len(said) == 1
    assert "beginning anew, a checkpoint cannot be used: its first are float16" in said[0]


def halved(images, views):
    small = [View(name=v.name, camera=v.camera.resized(32, 24), cam_from_world=v.cam_from_world) for v in views]
    return [block_mean(image, 2) for image in images], small


def test_a_smaller_training_takes_over_the_gaussians_of_one_that_ran_out_of_memory(world, tmp_path, monkeypatch):
    images, views, points, colors = world
    with pytest.raises(MemoryError):
        train(*world, PLAN, recipe=STEADY, checkpoints=often(tmp_path)[0], probe=until(0.6, MemoryError))
    smaller = replace(PLAN, iterations=100, max_gaussians=200, sh_degree=0)
    steps, step = [], Studio.step

    def counted(studio, *args):
        steps.append(studio.people.count)
        return step(studio, *args)

    monkeypatch.setattr(Studio, "step", counted)
    checkpoints, said = often(tmp_path, take_over=True)
    small = halved(images, views)
    trained = train(*small, points, colors, smaller, recipe=STEADY, checkpoints=checkpoints)
    assert said == ["going on with 200 Gaussians of a training that had done 53% of its course"]
    assert len(steps) == 47
    assert max(steps) <= 200
    assert trained.gaussians.sh_degree == 0
    assert trained.history[0].iteration == 54
    alone = train(*small, points, colors, replace(smaller, iterations=47), recipe=STEADY)
    assert trained.history[-1].loss < alone.history[-1].loss
    assert trained.history[0].loss < 0.6 * alone.history[0].loss


def test_a_smaller_training_takes_over_nothing_unasked_and_its_own_checkpoint_first(world, tmp_path):
    with pytest.raises(MemoryError):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(0.6, MemoryError))
    smaller = replace(PLAN, iterations=100, max_gaussians=200)
    checkpoints, said = often(tmp_path)
    with pytest.raises(Killed):
        train(*world, smaller, recipe=RECIPE, checkpoints=checkpoints, probe=until(0.3))
    assert said == []
    checkpoints, said = often(tmp_path, take_over=True)
    train(*world, smaller, recipe=RECIPE, checkpoints=checkpoints)
    assert said == ["going on after iteration 20, from a checkpoint"]


def keeper_in(folder, **changes):
    return Keeper(asked=Checkpoints(folder=folder, **changes), whose=Fingerprint(training="a", scene="b"))


def test_any_array_comes_back_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "half": rng.integers(0, 65536, (7, 3)).astype(np.uint16),
        "double": rng.normal(size=5),
        "none": np.zeros((0, 4), np.float32),
        "special": np.array([np.nan, -np.inf, -0.0], np.float32),
    }
    keeper = keeper_in(tmp_path, every_iterations=1, most_share=np.inf)
    facts = {"big": 2**127 + 1, "float": 0.1 + 0.2, "none": None, "list": [1, 2]}
    keeper.offer(1, lambda: 0.0, lambda: State(facts=facts, arrays=arrays))
    back = keeper.own()
    assert back is not None
    assert back.facts == facts
    for name, values in arrays.items():
        assert back.arrays[name].dtype == values.dtype
        assert back.arrays[name].tobytes() == values.tobytes()


def test_writing_takes_no_more_than_its_share_of_the_time(tmp_path, monkeypatch):
    now, written = [0.0], []

    def slow(path, state):
        now[0] += 2.0
        written.append(now[0])
        path.write_bytes(b"")
        return "0"

    monkeypatch.setattr(checkpoint, "_write", slow)
    keeper = keeper_in(tmp_path, every_iterations=5, every_s=30, most_share=0.01)
    small = State(facts={}, arrays={"a": np.zeros(10)})
    for i in range(10_000):
        now[0] += 0.1
        keeper.offer(i + 1, lambda: now[0], lambda: small)
    assert written[0] < 3
    assert 2 * (len(written) - 1) < 0.01 * now[0] < 2 * (len(written) + 1)


def test_of_the_first_checkpoint_the_cost_is_guessed_from_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_write", lambda path, state: pytest.fail("too early"))
    large = State(facts={}, arrays={"a": np.zeros(10_000_000, np.float32)})
    keeper = keeper_in(tmp_path)
    keeper.offer(10_000, lambda: 10.0, lambda: large)
    assert keeper.own() is None


def test_time_alone_is_a_reason_to_write(tmp_path):
    keeper, now = keeper_in(tmp_path, every_iterations=10**9, every_s=30), [0.0]
    for i in range(100):
        now[0] += 1.0
        keeper.offer(i + 1, lambda: now[0], lambda: State(facts={"at": now[0]}, arrays={}))
    state = keeper.own()
    assert state is not None
    assert state.facts == {"at": 90.0}


def test_a_full_disk_is_said_and_leaves_no_half_checkpoint_and_no_less_of_a_training(
    world, whole, tmp_path, monkeypatch
):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    checkpoints, said = often(tmp_path, every_iterations=100)
    assert digest(train(*world, PLAN, recipe=RECIPE, checkpoints=checkpoints)) == digest(whole)
    assert said == ["no checkpoint could be written: [Errno 28] No space left on device"]
    assert list(tmp_path.iterdir()) == []


def test_what_is_learned_beside_the_gaussians_is_kept_and_watched(world, tmp_path, monkeypatch):
    step, kept, restore, restored = Studio.step, Studio.state, Studio.restore, []

    def state(studio):
        return {**kept(studio), "exposure": np.array([studio.moves / 1000, 1.0])}

    def take_back(studio, arrays):
        restore(studio, arrays)
        restored.append(arrays["exposure"].tolist())

    def counted(studio, *args):
        if studio.moves == 110 and restored:
            monkeypatch.setattr(Studio, "state", lambda _: {"exposure": np.array([np.nan])})
        return step(studio, *args)

    monkeypatch.setattr(Studio, "state", state)
    monkeypatch.setattr(Studio, "restore", take_back)
    monkeypatch.setattr(Studio, "step", counted)
    with pytest.raises(Killed):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0], probe=until(0.5))
    with pytest.raises(Diverged, match="exposure is not finite at iteration 150"):
        train(*world, PLAN, recipe=RECIPE, checkpoints=often(tmp_path)[0])
    assert restored == [[0.07, 1.0]]
