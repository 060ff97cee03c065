"""What a GPU would run of gsplat's Python code and ours, on stand-ins of its kernels: modes, derivatives, optimisers.

Nothing here tells how a kernel computes, only that it gets what it asks for and that what it answers is understood.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

WHY = "needs torch and gsplat: make reference"
torch = pytest.importorskip("torch", reason=WHY)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gsplat says that there is no GPU
    pytest.importorskip("gsplat", reason=WHY)
    import gsplat

    from resources.gpu import movers
    from resources.gpu.atelier import Atelier
    from resources.gpu.cameras import Cameras
    from resources.gpu.draw import Style, draw, seen
    from resources.gpu.pictures import pictures_of
    from resources.gpu.recipe import GpuRecipe
    from resources.gpu.reference import compute_relocation
    from resources.gpu.splats import harmonics, splats_of
    from resources.gpu.train import Capture, train

    sys.path.insert(0, str(Path(__file__).parent))
    import kernels

from scene import PLAN, capture, truth, views
from test_train import hurried, quality

from splat_pipeline.domain.errors import Diverged
from splat_pipeline.splatting.checkpoint import Checkpoints

CPU = torch.device("cpu")
MODES = [(packed, antialiased) for packed in (False, True) for antialiased in (False, True)]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def half_hidden():
    """Return the scene with every other blob behind the camera of ``views``."""
    scene = truth(degree=2)
    means = scene.means.copy()
    means[::2] += 10 * views(1)[0].center.astype(np.float32)
    return replace(scene, means=means)


def drawn_and_back(style: Style):
    """Return what is drawn, whom it shows, and the gradients of all that has one."""
    splats = splats_of(half_hidden(), CPU)
    picture = pictures_of([np.zeros((40, 48, 3), np.uint8)], views(1), 1, points=np.zeros((0, 3)), device=CPU)[0]
    cameras = Cameras(replace(GpuRecipe.of(PLAN, on_gpu=False), refine_poses=True), 1, 3.0, CPU)
    drawn = draw(splats, cameras.apply(picture.viewmat, 0), picture.lens, picture.size, degree=1, style=style)
    drawn.info["means2d"].retain_grad()
    weights = torch.linspace(0.5, 1.5, 48)[None, :, None]
    ((drawn.image**2 * weights).sum() + drawn.alpha.sum() + drawn.depth.sum()).backward()
    gradients = {name: values.grad for name, values in splats.items()} | {"pose": cameras.moved.grad}
    shown = seen(drawn, len(splats["means"]))
    absolute = torch.zeros(len(shown), 2)
    absolute[shown] = drawn.info["means2d"].absgrad.reshape(-1, 2)[shown if not style.packed else slice(None)]
    return drawn, shown, gradients | {"absgrad": absolute}


@pytest.mark.parametrize(("packed", "antialiased"), MODES)
def test_gsplat_is_asked_for_what_its_reference_draws_and_hands_back_the_same_derivatives(
    monkeypatch, packed, antialiased
):
    style = Style(antialiased=antialiased, absgrad=True, packed=packed, depth=True)
    want, want_shown, want_gradients = drawn_and_back(replace(style, packed=False))
    called = kernels.installed(monkeypatch)
    got, shown, gradients = drawn_and_back(style)
    assert f"projection_ewa_3dgs_{'packed' if packed else 'fused'}_bwd" in called
    assert 0 < int(shown.sum()) <= 80
    assert torch.equal(shown, want_shown)
    for name in ("image", "alpha", "depth"):
        torch.testing.assert_close(getattr(got, name), getattr(want, name), rtol=1e-4, atol=1e-5, msg=name)
    for name, values in want_gradients.items():
        assert torch.isfinite(gradients[name]).all(), name
        scale = float(values.abs().max())
        torch.testing.assert_close(gradients[name] / scale, values / scale, rtol=1e-3, atol=1e-4, msg=name)


def on_kernels(plan=PLAN, *, packed=False, ratio=0.95, **asked):
    recipe = replace(hurried(plan, trained_ratio=ratio), movers="selective", packed=packed)
    return train(Capture(**capture()), plan, recipe, device=CPU, **asked)


@pytest.mark.parametrize(("strategy", "packed"), [("ranked", False), ("ranked", True), ("mcmc", True)])
def test_the_loop_of_a_gpu_learns_the_scene_and_keeps_to_the_cap(monkeypatch, strategy, packed):
    called = kernels.installed(monkeypatch)
    plan = replace(PLAN, options={"strategy": strategy})
    trained = on_kernels(plan, packed=packed).gaussians
    before = quality(on_kernels(replace(plan, iterations=2), packed=packed, ratio=2.0).gaussians)
    print(f"{strategy}, packed {packed}: {before:.1f} dB, then {quality(trained):.1f}, {len(trained)} Gaussians")
    assert quality(trained) > before + 3
    assert len(trained) <= plan.max_gaussians
    assert strategy == "ranked" or len(trained) == plan.max_gaussians, "mcmc goes up to it"
    assert "adam" in called
    assert ("relocation" in called) == (strategy == "mcmc")


def test_every_option_trains_together_on_kernels_in_packed_mode(monkeypatch):
    kernels.installed(monkeypatch)
    asked = {"exposure": "affine", "background": "learned", "antialias": True, "depth_weight": 0.01}
    options = {**asked, "refine_poses": True, "opacity_weight": 0.01, "scale_weight": 0.01}
    trained = on_kernels(replace(PLAN, iterations=60, options=options), packed=True).gaussians
    assert trained.antialiased
    assert quality(trained) > 15


class Killed(Exception):
    pass


def test_a_killed_training_with_selective_movers_ends_as_it_would_have_bit_by_bit(tmp_path, monkeypatch):
    kernels.installed(monkeypatch)
    plan = replace(PLAN, iterations=100)
    whole, said = on_kernels(plan, packed=True).gaussians, []

    def dies(at):
        if at.iteration >= 50:
            raise Killed

    def asked():
        return Checkpoints(folder=tmp_path, every_iterations=30, every_s=1e9, most_share=1e9, say=said.append)

    with pytest.raises(Killed):
        on_kernels(plan, packed=True, checkpoints=asked(), progress=dies)
    again = on_kernels(plan, packed=True, checkpoints=asked()).gaussians
    assert said == ["going on after iteration 30, from a checkpoint"]
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name), err_msg=name)


def test_selective_movers_leave_alone_what_the_picture_does_not_show(monkeypatch):
    kernels.installed(monkeypatch)
    recipe = replace(hurried(), movers="selective", packed=True)
    there = half_hidden()
    atelier = Atelier(PLAN, recipe, splats_of(there, CPU), extent=3.0, views=8)
    given = capture()
    picture = pictures_of(given["images"], given["views"], 1, points=given["points"][:0], device=CPU)[0]
    atelier.step(picture, 1, done=0, share=0.0)
    moved = (atelier.splats["means"].detach().numpy() != there.means).any(axis=1)
    assert not moved[::2].any()
    assert moved[1::2].mean() > 0.9


def test_gradients_would_be_sparse_of_few_numbers_only_and_selective_movers_refuse_them(monkeypatch):
    """What docs/decisions/0015 rests on."""
    kernels.installed(monkeypatch)
    splats = splats_of(truth(degree=3), CPU)
    made = movers.movers_of(splats, GpuRecipe.of(PLAN, on_gpu=True).train, 1.0, kind="selective")
    picture = pictures_of([np.zeros((40, 48, 3), np.uint8)], views(1), 1, points=np.zeros((0, 3)), device=CPU)[0]
    with torch.sparse.check_sparse_tensor_invariants():
        image, _, _ = gsplat.rasterization(
            means=splats["means"], quats=splats["quats"], scales=torch.exp(splats["scales"]),
            opacities=torch.sigmoid(splats["opacities"]), colors=harmonics(splats), viewmats=picture.viewmat[None],
            Ks=picture.lens[None], width=48, height=40, sh_degree=3, packed=True, sparse_grad=True,
        )  # fmt: skip
        image.sum().backward()
    sparse = {name for name, values in splats.items() if values.grad.is_sparse}
    assert sparse == {"quats", "scales"}, "the places' are added to those of the directions, which are not"
    assert sum(splats[name][0].numel() for name in sparse) == 7
    assert sum(values[0].numel() for values in splats.values()) == 59
    with pytest.raises(AssertionError):
        made["quats"].step(torch.ones(160, dtype=torch.bool))


def test_a_selective_mover_moves_as_far_as_it_is_told_in_its_first_step(monkeypatch):
    """Without the correction of Adam's moments: rate (1 - b1) g / sqrt((1 - b2) g^2), whatever the gradient."""
    kernels.installed(monkeypatch)
    splats = splats_of(truth(), CPU)
    made = movers.movers_of(splats, GpuRecipe.of(PLAN, on_gpu=True).train, 1.0, kind="selective")
    before = splats["quats"].detach().clone()
    splats["quats"].grad = torch.full_like(splats["quats"], 7.0)
    movers.set_rates(made, dict.fromkeys(made, 0.01))
    movers.move(made, splats, torch.arange(160) < 3, "selective")
    moved = (before - splats["quats"].detach()).numpy()
    np.testing.assert_allclose(moved[:3], 0.01 * 0.1 / 0.001**0.5, rtol=1e-4)
    assert not moved[3:].any()
    assert splats["quats"].grad is None


def test_the_reference_shares_among_equals_as_gsplat_s_kernel_does():
    from gsplat.strategy import MCMCStrategy

    opacities, ratios = torch.linspace(0.01, 0.99, 9), torch.arange(1, 10)
    binoms = MCMCStrategy().initialize_state()["binoms"]
    want = kernels.relocation(opacities, torch.ones(9, 3), ratios.int(), binoms, 51)
    for ours, theirs in zip(compute_relocation(opacities, torch.ones(9, 3), ratios, binoms), want, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("logit", "words"), [(float("nan"), "not finite"), (-9.0, "all Gaussians are transparent")])
def test_where_nothing_can_be_drawn_by_opacity_the_training_diverged_and_no_kernel_is_asked(monkeypatch, logit, words):
    called = kernels.installed(monkeypatch)
    plan = replace(PLAN, options={"strategy": "mcmc"})
    splats = splats_of(truth(), CPU)
    growth = Atelier(plan, hurried(plan), splats, extent=3.0, views=8).growth
    with torch.no_grad():
        splats["opacities"][:] = logit
    step = growth.strategy.refine_every * (growth.strategy.refine_start_iter // growth.strategy.refine_every + 1)
    with pytest.raises(Diverged, match=words):
        growth.after(splats, {}, step, None, rate=1.0)
    assert called == []
