"""Which of gsplat's modes a training takes, and what it makes of what they hand back: by itself, without a GPU."""

from __future__ import annotations

import inspect
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

WHY = "needs torch and gsplat: make reference"
torch = pytest.importorskip("torch", reason=WHY)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gsplat says that there is no GPU
    pytest.importorskip("gsplat", reason=WHY)
    import gsplat

    from resources.gpu.atelier import Atelier
    from resources.gpu.draw import Drawn, Style, draw, seen
    from resources.gpu.growth import Growth
    from resources.gpu.recipe import PACKED_ABOVE, GpuRecipe
    from resources.gpu.splats import splats_of

sys.path.insert(0, str(Path(__file__).parent))
from scene import PLAN, truth


def of(*, on_gpu: bool = True, many: int = 1000, **options: object) -> GpuRecipe:
    return GpuRecipe.of(replace(PLAN, max_gaussians=many, options=options), on_gpu=on_gpu)


def test_kernels_of_the_gpu_are_asked_for_on_a_gpu_only():
    assert of().movers == "selective"
    assert of(on_gpu=False).movers == "all"
    assert not of(on_gpu=False, many=PACKED_ABOVE + 1).packed


def test_packed_mode_is_for_more_gaussians_than_are_seen_at_once():
    assert not of(many=PACKED_ABOVE).packed
    assert of(many=PACKED_ABOVE + 1).packed


def test_absolute_gradients_and_penalties_are_those_of_the_strategy():
    ranked, mcmc = of(strategy="ranked"), of(strategy="mcmc")
    assert ranked.absgrad
    assert not mcmc.absgrad
    assert ranked.penalties == (0.0, 0.0)
    assert mcmc.penalties == (0.01, 0.01)
    assert of(strategy="mcmc", opacity_weight=0.5).penalties == (0.5, 0.01)


@pytest.mark.parametrize("strategy", ["ranked", "mcmc"])
def test_a_strategy_gets_cap_schedule_and_modes_of_the_plan(strategy):
    recipe = of(many=PACKED_ABOVE + 1, strategy=strategy)
    growth = Growth(replace(PLAN, iterations=30_000, max_gaussians=PACKED_ABOVE + 1), recipe, extent=2.0)
    made = growth.strategy
    assert growth.packed
    assert (made.refine_start_iter, made.refine_every) == (500, 100)
    if strategy == "mcmc":
        assert isinstance(made, gsplat.MCMCStrategy)
        assert (made.cap_max, made.refine_stop_iter) == (PACKED_ABOVE + 1, 25_000)
        assert made.noise_lr == 5e5 / 4, "in scene extents"
    else:
        assert (made.cap, made.refine_stop_iter, made.reset_every) == (PACKED_ABOVE + 1, 15_000, 3000)
        assert made.absgrad
        assert made.grow_grad2d == 8e-4


def test_what_a_picture_shows_is_known_in_packed_and_unpacked_mode():
    """Packed, there is a row for each that is seen; unpacked a row for each, with a radius of 0 where it is not."""
    packed = {"radii": torch.tensor([[3, 4], [1, 1]]), "gaussian_ids": torch.tensor([4, 1])}
    unpacked = {"radii": torch.tensor([[[0, 0], [1, 1], [0, 2], [0, 0], [3, 4]]]), "gaussian_ids": None}
    for info in (packed, unpacked):
        drawn = Drawn(image=None, alpha=None, depth=None, info=info)
        assert seen(drawn, 5).tolist() == [False, True, False, False, True]


class OnAGpu(torch.Tensor):
    """Says that it is there."""

    @property
    def is_cuda(self) -> bool:
        return True


@pytest.mark.parametrize("depth", [False, True])
def test_the_kernels_are_called_in_the_modes_of_the_style(monkeypatch, depth):
    called: dict[str, object] = {}

    def rasterization(**given):
        called.update(given)
        channels = 4 if depth else 3
        return torch.ones(1, 4, 6, channels), torch.ones(1, 4, 6, 1), {"gaussian_ids": None}

    monkeypatch.setattr(gsplat, "rasterization", rasterization)
    monkeypatch.setattr("resources.gpu.draw.harmonics", lambda splats: torch.zeros(160, 4, 3).as_subclass(OnAGpu))
    style = Style(antialiased=True, absgrad=True, packed=True, depth=depth)
    drawn = draw(splats_of(truth(), "cpu"), torch.eye(4), torch.eye(3), (6, 4), degree=1, style=style)
    assert (called["packed"], called["absgrad"], called["rasterize_mode"]) == (True, True, "antialiased")
    assert (called["width"], called["height"], called["sh_degree"]) == (6, 4, 1)
    assert called["render_mode"] == ("RGB+ED" if depth else "RGB")
    assert drawn.image.shape == (4, 6, 3)
    assert (drawn.depth is not None) == depth
    assert set(called) <= set(inspect.signature(gsplat.rendering.rasterization).parameters), "gsplat knows them all"


def test_a_training_draws_as_its_recipe_says():
    recipe = replace(of(on_gpu=False, antialias=True, depth_weight=0.1), packed=True)
    style = Atelier(PLAN, recipe, splats_of(truth(), "cpu"), extent=3.0, views=2).style
    assert style == Style(antialiased=True, absgrad=True, packed=True, depth=True)
