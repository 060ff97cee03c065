"""Draw splats from one camera: by gsplat's kernels on a GPU, by its pure-torch reference elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from resources.gpu import reference
from resources.gpu.splats import Splats, harmonics


@dataclass(frozen=True, kw_only=True)
class Style:
    """How it is drawn."""

    antialiased: bool = False
    absgrad: bool = False
    """Sum up absolute gradients of the places on the picture, for the strategy that wants them."""
    packed: bool = False
    """Keep what was projected of the visible Gaussians only: less memory, a little slower."""
    depth: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """What was drawn, on black."""

    image: Any
    """(H, W, 3)"""
    alpha: Any
    """(H, W)"""
    depth: Any
    """(H, W) along the optical axis, world units; None where nobody asked for it."""
    info: dict[str, Any]
    """What gsplat's strategies read."""


def draw(splats: Splats, viewmat: Any, lens: Any, size: tuple[int, int], *, degree: int, style: Style) -> Drawn:
    """Draw from ``viewmat`` (4, 4), cam_from_world, through ``lens`` (3, 3), ``size`` width and height in px."""
    active = {
        "means": splats["means"],
        "quats": splats["quats"],
        "scales": torch.exp(splats["scales"]),
        "opacities": torch.sigmoid(splats["opacities"]),
    }
    sh = harmonics(splats)
    if reference.stands_in(sh):
        image, alpha, depth, info = reference.rasterize(
            {**active, "sh": sh}, viewmat, lens, size, degree=degree, antialiased=style.antialiased
        )
        return Drawn(image=image, alpha=alpha, depth=depth if style.depth else None, info=info)
    from gsplat import rasterization

    colors, alphas, info = rasterization(
        **active,
        colors=sh,
        viewmats=viewmat[None],
        Ks=lens[None],
        width=size[0],
        height=size[1],
        sh_degree=degree,
        packed=style.packed,
        absgrad=style.absgrad,
        rasterize_mode="antialiased" if style.antialiased else "classic",
        render_mode="RGB+ED" if style.depth else "RGB",
    )
    depth = colors[0, ..., 3] if style.depth else None
    return Drawn(image=colors[0, ..., :3], alpha=alphas[0, ..., 0], depth=depth, info=info)


def seen(drawn: Drawn, count: int) -> Any:
    """Return (count,) whether each Gaussian touches the picture."""
    radii = drawn.info["radii"]
    if drawn.info["gaussian_ids"] is None:
        return (radii[0] > 0).all(-1)
    mask = torch.zeros(count, dtype=torch.bool, device=radii.device)
    mask[drawn.info["gaussian_ids"]] = True
    return mask
