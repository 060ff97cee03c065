"""The trainer for GPUs, run without one through gsplat's pure-torch reference: the same loop, a real optimisation.

make reference
build/reference/bin/python -m pytest tests/resources/gpu -rP      # prints the agreement
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

WHY = "needs torch and gsplat: make reference"
torch = pytest.importorskip("torch", reason=WHY)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gsplat says that there is no GPU
    pytest.importorskip("gsplat", reason=WHY)
    from resources.drawers import GsplatFilm
    from resources.gpu import loss, movers
    from resources.gpu.atelier import Atelier
    from resources.gpu.devices import taken
    from resources.gpu.draw import Style, draw
    from resources.gpu.faults import classified
    from resources.gpu.pictures import pictures_of, visible
    from resources.gpu.recipe import GpuRecipe
    from resources.gpu.reference import compute_relocation
    from resources.gpu.splats import gaussians_of, splats_of
    from resources.gpu.train import Capture, train
    from resources.gsplat_trainer import GsplatTrainer

sys.path.insert(0, str(Path(__file__).parent))
from scene import CAMERA, PLAN, capture, truth, views

from splat_pipeline.domain.camera_paths import CameraPath
from splat_pipeline.domain.errors import Diverged, DriverLost, OutOfMemory, Untrained
from splat_pipeline.splatting.checkpoint import Checkpoints
from splat_pipeline.splatting.loss import loss_and_gradient
from splat_pipeline.splatting.metrics import psnr, ssim
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import render
from splat_pipeline.splatting.train import evaluate

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def hurried(plan=PLAN, **changes):
    """Return the recipe of ``plan`` with the rates of the CPU's, threefold: a hundred iterations must do."""
    recipe = GpuRecipe.of(plan, on_gpu=False)
    rates = {entry.name for entry in fields(TrainRecipe) if entry.name.endswith("_rate")} - {"exposure_rate"}
    faster = {name: 3 * getattr(TrainRecipe(), name) for name in rates}
    train = replace(recipe.train, **faster, quarter_until=0.0, half_until=0.15, degree_every=0.3)
    return replace(recipe, train=replace(train, **changes))


def run(plan=PLAN, *, given=None, **asked):
    recipe = asked.pop("recipe", None) or hurried(plan)
    return train(Capture(**(given or capture())), plan, recipe, device=CPU, **asked)


def quality(gaussians) -> float:
    given = capture()
    return float(np.mean([db for db, _ in evaluate(gaussians, given["images"], given["views"])]))


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("degree", [0, 3])
def test_it_draws_what_the_cpu_draws(degree, antialiased):
    scene = replace(truth(degree=degree), antialiased=antialiased)
    for view in views(3):
        ours = render(scene, view.camera, view.cam_from_world)
        picture = pictures_of([np.zeros((40, 48, 3), np.uint8)], [view], 1, points=np.zeros((0, 3)), device=CPU)[0]
        style = Style(antialiased=antialiased, depth=True)
        drawn = draw(splats_of(scene, CPU), picture.viewmat, picture.lens, picture.size, degree=degree, style=style)
        apart_db = psnr(drawn.image.detach().numpy(), ours.image)
        print(f"degree {degree}, antialiased {antialiased}: {apart_db:.1f} dB")
        assert apart_db >= 50
        np.testing.assert_allclose(drawn.alpha.detach().numpy(), ours.alpha, atol=2e-2)
        solid = ours.alpha > 0.5
        np.testing.assert_allclose(drawn.depth.detach().numpy()[solid], ours.depth[solid], atol=0.05)


def test_its_gradients_are_the_cpu_s():
    """Of the loss of one view: what the two differ in is the cap of alpha and where a pixel ends."""
    scene, view = replace(truth(), logit_opacities=np.minimum(truth().logit_opacities, 1)), views(1)[0]
    given = capture()
    splats = splats_of(scene, CPU)
    picture = pictures_of(given["images"][:1], [view], 1, points=given["points"], device=CPU)[0]
    drawn = draw(splats, picture.viewmat, picture.lens, picture.size, degree=1, style=Style())
    loss.photometric(drawn.image, picture.image(), 0.2).backward()
    sys.path.insert(0, str(Path(__file__).parents[2] / "splatting"))
    from test_gradients import backward

    ours = render(scene, CAMERA, view.cam_from_world, background=(0, 0, 0)).image
    planes = [np.ascontiguousarray(p.transpose(2, 0, 1)) for p in (ours, given["images"][0].astype(np.float32) / 255)]
    upstream = np.empty_like(planes[0])
    loss_and_gradient(planes[0].astype(np.float32), planes[1], upstream, ssim_weight=0.2)
    got, _ = backward(scene, CAMERA, view.cam_from_world, upstream.transpose(1, 2, 0), (0, 0, 0))
    theirs = {"means": "means", "quats": "quats", "log_scales": "scales", "logit_opacities": "opacities"}
    for name, other in theirs.items():
        gradient = splats[other].grad.numpy()
        cosine = (got[name] * gradient).sum() / np.linalg.norm(got[name]) / np.linalg.norm(gradient)
        print(f"gradient of {name}: 1 - cosine {1 - cosine:.1e}")
        assert cosine > 0.999, name


def test_the_loss_is_the_cpu_s():
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(size=(30, 40, 3)).astype(np.float32) for _ in range(2))
    assert float(loss.ssim(torch.tensor(a), torch.tensor(b))) == pytest.approx(ssim(a, b), abs=1e-5)
    planes = [np.ascontiguousarray(p.transpose(2, 0, 1)) for p in (a, b)]
    want, _ = loss_and_gradient(*planes, np.empty_like(planes[0]), ssim_weight=0.2)
    assert float(loss.photometric(torch.tensor(a), torch.tensor(b), 0.2)) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("strategy", ["ranked", "mcmc"])
def test_a_training_learns_the_scene_and_keeps_to_the_cap(strategy):
    plan = replace(PLAN, options={"strategy": strategy})
    told = []
    trained = run(plan, progress=told.append)
    before = quality(run(replace(plan, iterations=2), recipe=hurried(plan, trained_ratio=2.0)).gaussians)
    after = quality(trained.gaussians)
    print(f"{strategy}: {before:.1f} dB after 2 iterations, {after:.1f} dB after {plan.iterations}")
    assert after > before + 3
    assert 160 < len(trained.gaussians) <= plan.max_gaussians
    assert trained.gaussians.sh_degree == 1
    assert np.isfinite(trained.gaussians.sh).all()
    assert trained.history[-1].iteration == plan.iterations
    assert trained.history[-1].loss < 0.7 * trained.history[0].loss
    assert told[-1].iterations == plan.iterations


def test_every_option_trains_together_and_is_told_with_the_result():
    plan = replace(
        PLAN,
        iterations=60,
        options={
            "exposure": "affine",
            "background": "random",
            "antialias": True,
            "depth_weight": 0.01,
            "refine_poses": True,
            "opacity_weight": 0.01,
        },
    )
    trained = run(plan)
    assert trained.gaussians.antialiased
    assert quality(replace(trained.gaussians, antialiased=True)) > 15


def test_sparse_movers_leave_alone_what_the_picture_does_not_show():
    recipe = replace(hurried(), movers="sparse")
    given = capture()
    hidden = truth().means.copy()
    hidden[:40] = [100, 0, 0]
    splats = splats_of(replace(truth(), means=hidden), CPU)
    atelier = Atelier(PLAN, recipe, splats, extent=3.0, views=8)
    picture = pictures_of(given["images"], given["views"], 1, points=given["points"][:0], device=CPU)[0]
    for done in range(3):
        atelier.step(picture, 1, done=done, share=0.0)
    moved = (atelier.splats["means"].detach().numpy() != hidden).any(axis=1)
    assert not moved[:40].any()
    assert moved[40:].mean() > 0.9
    assert quality(run(replace(PLAN, iterations=60), recipe=recipe).gaussians) > 15
    with pytest.raises(ValueError, match="all, selective, sparse"):
        movers.movers_of(splats, recipe.train, 1.0, kind="none")


def test_exposure_of_each_picture_is_learned():
    given = capture()
    dark = [np.rint(image * (0.6 if i % 2 else 1.0)).astype(np.uint8) for i, image in enumerate(given["images"])]
    plain = replace(PLAN, iterations=100)
    learning = replace(plain, options={"exposure": "gain"})
    with_it = run(learning, given={**given, "images": dark}, recipe=hurried(learning, exposure_rate=0.05))
    without = run(plain, given={**given, "images": dark})
    assert with_it.history[-1].loss < 0.9 * without.history[-1].loss


def test_camera_poses_are_refined_towards_the_truth():
    given = capture()
    rng = np.random.default_rng(4)
    shaken = []
    for view in given["views"]:
        pose = view.cam_from_world.copy()
        pose[:3, 3] += rng.normal(size=3) * 0.03
        shaken.append(replace(view, cam_from_world=pose))
    splats = splats_of(truth(), CPU)
    recipe = replace(GpuRecipe.of(PLAN, on_gpu=False), refine_poses=True, pose_rate=1e-3, pose_weight=0.0)
    still = {f"{name}_rate": 0.0 for name in ("quats", "scales", "opacity", "color", "detail")}
    train_recipe = replace(recipe.train, means_rate=1e-12, means_rate_end=1e-13, **still)
    recipe = replace(recipe, train=train_recipe)
    atelier = Atelier(PLAN, recipe, splats, extent=3.0, views=8)
    atelier.growth.strategy.refine_stop_iter = 0
    pictures = pictures_of(given["images"], shaken, 1, points=given["points"][:0], device=CPU)
    was = np.mean([atelier.look(picture, 1) for picture in pictures])
    for done in range(160):
        atelier.step(pictures[done % 8], 1, done=done, share=done / 400)
    now = np.mean([atelier.look(picture, 1) for picture in pictures])
    print(f"loss with shaken poses {was:.4f}, with refined ones {now:.4f}")
    assert now < 0.6 * was
    assert float(atelier.cameras.moved.detach().mean(0).abs().max()) < 1e-6, "the world stays where it was"


def test_the_depth_of_sparse_points_pulls_and_hidden_points_do_not():
    view = views(1)[0]
    center = view.center
    toward = -center / np.linalg.norm(center)
    line = center + toward * np.array([[2.0], [2.1], [4.0]])
    places, depths = visible(view, line)
    np.testing.assert_allclose(sorted(depths), [2.0, 2.1], atol=1e-6)
    assert np.abs(places).max() < 0.2
    depth = torch.full((40, 48), 3.0, requires_grad=True)
    apart = loss.depth_apart(
        depth, torch.ones(40, 48), torch.tensor(places).float(), torch.tensor(1 / depths).float(), 2.0
    )
    assert float(apart.detach()) == pytest.approx(2 * np.mean(1 / depths - 1 / 3), rel=1e-4)
    apart.backward()
    assert (depth.grad[depth.grad != 0] > 0).all(), "the drawn depth is pulled nearer"
    nothing = loss.depth_apart(depth, torch.zeros(40, 48), torch.tensor(places).float(), torch.ones(2), 2.0)
    assert float(nothing.detach()) == 0


class Killed(Exception):
    pass


@pytest.mark.parametrize("strategy", ["ranked", "mcmc"])
def test_a_killed_training_goes_on_and_ends_as_it_would_have_bit_by_bit(tmp_path, strategy):
    plan = replace(PLAN, iterations=100, options={"strategy": strategy, "exposure": "gain", "background": "learned"})
    whole = run(plan).gaussians
    said = []

    def asked():
        return Checkpoints(folder=tmp_path, every_iterations=30, every_s=1e9, most_share=1e9, say=said.append)

    def dies(at):
        if at.iteration >= 50:
            raise Killed

    with pytest.raises(Killed):
        run(plan, checkpoints=asked(), progress=dies)
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 1
    assert files[0].endswith(".npz")
    again = run(plan, checkpoints=asked()).gaussians
    assert said == ["going on after iteration 30, from a checkpoint"]
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), err_msg=name)


def test_a_smaller_training_takes_over_the_gaussians_of_the_one_that_did_not_fit(tmp_path):
    said = []

    def dies(at):
        if at.iteration >= 100:
            raise Killed

    def asked(**more):
        return Checkpoints(folder=tmp_path, every_iterations=45, every_s=1e9, most_share=1e9, say=said.append, **more)

    with pytest.raises(Killed):
        run(checkpoints=asked(), progress=dies)
    smaller = replace(PLAN, max_gaussians=120, sh_degree=0, iterations=100)
    trained = run(smaller, checkpoints=asked(take_over=True))
    assert said == ["going on with 120 Gaussians of a training that had done 75% of its course"]
    assert len(trained.gaussians) <= 120
    assert trained.gaussians.sh_degree == 0
    assert trained.history[0].iteration > 75
    assert quality(trained.gaussians) > 15


def test_a_loss_that_is_no_number_ends_the_training(monkeypatch):
    from resources.gpu import atelier

    monkeypatch.setattr(atelier, "photometric", lambda image, truth, weight: (image - truth).mean() * float("nan"))
    with pytest.raises(Diverged, match="the loss is nan at iteration 50"):
        run()


def test_a_training_that_learns_nothing_is_no_success():
    still = replace(GpuRecipe.of(PLAN, on_gpu=False))
    frozen = {f"{name}_rate": 0.0 for name in ("quats", "scales", "opacity", "color", "detail")}
    recipe = replace(
        still, train=replace(still.train, means_rate=1e-12, means_rate_end=1e-13, densify_from=2, **frozen)
    )
    with pytest.raises(Untrained, match="after 10 iterations"):
        run(replace(PLAN, iterations=10), recipe=recipe)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"), OutOfMemory),
        (RuntimeError("CUDA error: out of memory"), OutOfMemory),
        (MemoryError("4 GB"), OutOfMemory),
        (RuntimeError("CUDA error: unspecified launch failure"), DriverLost),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), DriverLost),
        (RuntimeError("shape mismatch"), RuntimeError),
    ],
)
def test_what_the_device_says_is_told_apart(raised, error):
    with pytest.raises(error) as caught, classified("to train 3 images"):
        raise raised
    if error is not RuntimeError:
        assert "3 images" in caught.value.cause
        assert "\n" not in caught.value.cause


def test_gaussians_survive_the_way_to_torch_and_back():
    for degree in (0, 2):
        there = truth(degree=degree)
        back = gaussians_of(splats_of(there, CPU))
        for name in ("means", "log_scales", "logit_opacities", "sh"):
            np.testing.assert_array_equal(getattr(back, name), getattr(there, name))
        np.testing.assert_allclose(back.quats, there.quats, atol=1e-6)


def test_a_gaussian_shared_among_equals_hides_as_much_as_before():
    opacity, ratios = torch.tensor([0.9, 0.5]), torch.tensor([2, 3])
    new, scales = compute_relocation(opacity, torch.ones(2, 3), ratios, None)
    np.testing.assert_allclose(1 - (1 - new.numpy()) ** ratios.numpy(), opacity.numpy(), atol=1e-6)
    assert (scales < 1).all()


def test_trainings_side_by_side_take_different_gpus_as_long_as_there_are_some(tmp_path):
    with taken([1, 0], tmp_path) as first, taken([1, 0], tmp_path) as second, taken([1, 0], tmp_path) as third:
        assert [str(first), str(second), str(third)] == ["cuda:1", "cuda:0", "cuda:1"]
    with taken([1, 0], tmp_path) as again:
        assert str(again) == "cuda:1", "locks end with their trainings"


def test_a_training_is_on_the_gpu_that_it_took_and_that_is_the_current_one_meanwhile(tmp_path, monkeypatch):
    from contextlib import contextmanager

    from resources.gpu import devices
    from resources.gpu import train as training
    from splat_pipeline.ports.training import TrainingViews

    current, said = [], []

    @contextmanager
    def switched(device):
        current.append(device)
        try:
            yield
        finally:
            current.pop()

    def tells(given, plan, recipe, *, device, **_):
        assert current == [device] == [torch.device("cuda", 1)]
        assert recipe.movers == "selective"
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.cuda, "device", switched)
    monkeypatch.setattr(devices, "emptiest_first", lambda: [1, 0])
    monkeypatch.setattr(training, "train", tells)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    given = capture()
    some = TrainingViews(images=given["images"], views=given["views"], keyframe_ids=range(8))
    with pytest.raises(OutOfMemory, match="8 images of 48 px and 220 Gaussians"):
        GsplatTrainer().train(some, given["points"], given["colors"], PLAN, say=said.append)
    assert said == ["training on cuda:1"]
    assert current == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_why_and_trains_nothing():
    assert str(GsplatTrainer().unavailable()).startswith(f"torch {torch.__version__} sees no CUDA device: ")
    assert GsplatTrainer().free_bytes() is None


def test_the_preview_is_drawn_as_our_renderer_does_background_and_all(tmp_path) -> None:
    scene = replace(truth(degree=2), background=(0.2, 0.5, 0.1))
    path = CameraPath(views=views(3), kind="orbit", because="a test", target=np.zeros(3))
    film = GsplatFilm()
    film.device = "cpu"
    for picture, view in zip(film.frames(scene, path, fps=30, folder=tmp_path, say=print), path.views, strict=True):
        ours = np.clip(render(scene, view.camera, view.cam_from_world).image, 0, 1)
        assert picture.dtype == np.uint8
        assert psnr(picture.astype(np.float32) / 255, ours.astype(np.float32)) > 50
