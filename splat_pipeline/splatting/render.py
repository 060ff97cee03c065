"""Draw Gaussians: the whole forward pass, for pictures and for training.

N Gaussians, M of them visible, T tiles, P pairs (tile, Gaussian); image (3, H, W) float32 inside, (H, W, 3) outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.splatting import blend, layout, project, spans, tiles
from splat_pipeline.splatting.layout import Float32, Int32, Int64
from splat_pipeline.splatting.spans import Int16
from splat_pipeline.splatting.tiles import UInt32


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendered:
    """A picture of Gaussians."""

    image: Float32
    """(H, W, 3) linear sum of colours as trained (sRGB values of the training images). Not clipped: may exceed 1."""
    alpha: Float32
    """(H, W) in [0, 1], what the Gaussians hide of the background."""
    depth: Float32
    """(H, W) world units along the optical axis, weighted by alpha; 0 where nothing is drawn."""


@dataclass(kw_only=True, eq=False)
class Workspace:
    """Arrays that live from one picture to the next: fresh pages would cost more than the work on them."""

    flat: Float32 = field(default_factory=lambda: layout.aligned(0, layout.LINE))
    touched: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    slot_starts: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    reach: Int16 = field(default_factory=lambda: np.zeros((0, layout.LINE), np.int16))
    visible: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    order: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    spare: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    keys: UInt32 = field(default_factory=lambda: np.zeros(0, np.uint32))
    spare_keys: UInt32 = field(default_factory=lambda: np.zeros(0, np.uint32))
    places: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    ids: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    slots: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    blocks: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))

    def reserve_gaussians(self, n: int) -> None:
        """Make room for ``n`` Gaussians."""
        if len(self.flat) < n:
            self.flat = layout.aligned(n, layout.LINE)
            self.touched = np.zeros(n, np.int32)
            self.reach = np.zeros((n, layout.LINE), np.int16)
            self.slot_starts = np.zeros(n, np.int32)
            self.visible, self.order, self.spare = (np.zeros(n + 1, np.int32) for _ in range(3))
            self.keys, self.spare_keys = (np.zeros(n + 1, np.uint32) for _ in range(2))

    def reserve_pairs(self, pairs: int) -> None:
        """Make room for ``pairs`` pairs."""
        if len(self.ids) < pairs:
            self.places, self.ids, self.slots = (np.zeros(pairs * 5 // 4, np.int32) for _ in range(3))
            self.blocks = np.zeros(len(self.ids), np.uint16)


@dataclass(frozen=True, kw_only=True, eq=False)
class Canvas:
    """What is drawn on: one camera's size."""

    image: Float32
    """(3, H, W)"""
    extra: Float32
    """(2, H, W) alpha, alpha-weighted depth; (0, H, W) where nobody asks for them"""
    counts: Int32
    """(chunks, T)"""
    starts: Int64
    """(T + 1,)"""
    used: Int32
    """(T,)"""
    grid: tuple[int, int]
    """Columns and rows of tiles."""

    @staticmethod
    def of(width_px: int, height_px: int, *, deep: bool = True) -> Canvas:
        """Return a canvas for pictures of this size, with alpha and depth if ``deep``."""
        grid = (-(-width_px // spans.TILE), -(-height_px // spans.TILE))
        count = grid[0] * grid[1]
        return Canvas(
            image=np.zeros((3, height_px, width_px), np.float32),
            extra=np.zeros((2 if deep else 0, height_px, width_px), np.float32),
            counts=np.zeros((tiles.CHUNKS, count), np.int32),
            starts=np.zeros(count + 1, np.int64),
            used=np.zeros(count, np.int32),
            grid=grid,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """What the backward pass needs of a forward pass: views into a workspace, valid until the next one."""

    flat: Float32
    touched: Int32
    slot_starts: Int32
    visible: Int32
    ids: Int32
    slots: Int32
    blocks: NDArray[np.uint16]


def draw(
    rows: Float32,
    cam: Float32,
    canvas: Canvas,
    room: Workspace,
    *,
    degree: int,
    background: Float32,
    least_weight: float = 0.0,
) -> Drawn:
    """Draw ``rows`` (N, W) on ``canvas``, from the camera ``cam`` of ``project.camera_vector``.

    ``least_weight``: the backward pass leaves out blocks of pixels in which a Gaussian weighs no more than this.
    """
    n = len(rows)
    room.reserve_gaussians(n)
    flat, reach, touched, slot_starts = room.flat[:n], room.reach[:n], room.touched[:n], room.slot_starts[:n]
    depths = room.spare_keys.view(np.float32)  # of all; the sort that needs the room begins when the keys are copied
    project.project(rows, cam, degree, canvas.grid, flat, reach, touched, depths)
    m, pairs = tiles.number_pairs(touched, depths, room.visible, room.keys, slot_starts)
    visible, order = room.visible[:m], room.order[:m]
    room.reserve_pairs(pairs)
    places, ids, slots, blocks = room.places[:pairs], room.ids[:pairs], room.slots[:pairs], room.blocks[:pairs]
    tiles.list_pairs(flat, reach, visible, canvas.grid[0], slot_starts, touched, places)
    tiles.sort_by_depth(visible, order, room.spare[:m], room.keys[:m], room.spare_keys[:m])
    tiles.count_lists(places, order, slot_starts, touched, canvas.counts)
    tiles.place_lists(canvas.counts, canvas.starts)
    tiles.fill_lists(places, order, slot_starts, touched, canvas.counts, ids, slots)
    least = np.float32(least_weight)
    blend.blend(flat, canvas.starts, ids, background, canvas.image, canvas.extra, canvas.used, blocks, least)
    return Drawn(
        flat=flat, touched=touched, slot_starts=slot_starts, visible=visible, ids=ids, slots=slots, blocks=blocks
    )


def render(
    gaussians: Gaussians,
    camera: Camera,
    cam_from_world: NDArray[np.float64],
    *,
    background: tuple[float, float, float] | None = None,
    sh_degree: int | None = None,
) -> Rendered:
    """Render ``gaussians`` from ``camera`` placed at ``cam_from_world`` (4, 4).

    Pixel (i, j) of the image is the light at (j + 0.5, i + 0.5) in the camera's pixel coordinates. ``background``: None
    is the Gaussians' own. ``sh_degree``: use harmonics up to this degree only (None: all). The image is not clipped to
    [0, 1]: that is for whoever stores it.
    Raises ValueError for a degree that the Gaussians do not have.
    """
    degree = gaussians.sh_degree if sh_degree is None else sh_degree
    if not 0 <= degree <= gaussians.sh_degree:
        raise ValueError(f"sh_degree must be 0 to {gaussians.sh_degree}, got {sh_degree}")
    canvas = Canvas.of(camera.width_px, camera.height_px)
    cam = project.camera_vector(camera, np.asarray(cam_from_world, dtype=np.float64), antialiased=gaussians.antialiased)
    draw(
        layout.pack(gaussians),
        cam,
        canvas,
        Workspace(),
        degree=degree,
        background=np.asarray(gaussians.background if background is None else background, dtype=np.float32),
    )
    alpha, weighted = canvas.extra
    depth = np.where(alpha > 0, weighted / np.maximum(alpha, np.float32(1e-10)), np.float32(0))
    return Rendered(image=np.ascontiguousarray(canvas.image.transpose(1, 2, 0)), alpha=alpha, depth=depth)
