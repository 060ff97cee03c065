import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import CAMERA, HERE, scene

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.splatting import layout, project, spans, tiles
from splat_pipeline.splatting.render import Canvas, Workspace, draw

LARGE = Camera(width_px=410, height_px=300, fx_px=300, fy_px=310, cx_px=200, cy_px=155)
"""26 x 19 tiles: more columns than are written at once, more rows than are kept."""


def lists(g, camera=CAMERA):
    canvas, room = Canvas.of(camera.width_px, camera.height_px), Workspace()
    cam = project.camera_vector(camera, HERE)
    drawn = draw(layout.pack(g), cam, canvas, room, degree=0, background=np.zeros(3, np.float32))
    return canvas, drawn


def listed(g, canvas, drawn):
    """Return (N, T): who is in the list of which tile."""
    found = np.zeros((len(g), len(canvas.used)), bool)
    for t in range(len(canvas.used)):
        ids = drawn.ids[canvas.starts[t] : canvas.starts[t + 1]]
        assert (np.diff(drawn.flat[ids, spans.DEPTH]) >= 0).all()
        assert len(set(ids)) == len(ids)
        found[ids, t] = True
    return found


def least_power(p, x, y):
    """Return the least |L d|^2 of the ellipse ``p`` in the rectangle ``x`` by ``y`` (two numbers each)."""
    u, v, l11, l21, l22 = p[:5]
    if x[0] <= u <= x[1] and y[0] <= v <= y[1]:
        return 0.0
    values = []
    for edge in y - v:
        along = np.clip(-l21 * edge / l11, *(x - u))
        values.append((l11 * along + l21 * edge) ** 2 + (l22 * edge) ** 2)
    for edge in x - u:
        along = np.clip(-l11 * l21 * edge / (l21**2 + l22**2), *(y - v))
        values.append((l11 * edge + l21 * along) ** 2 + (l22 * along) ** 2)
    return min(values)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 0))
def test_every_tile_with_a_visible_contribution_is_listed_front_to_back(seed, scale):
    g = scene(60, seed, scale=scale, degree=0)
    canvas, drawn = lists(g)
    columns = canvas.grid[0]
    ys, xs = np.mgrid[:48, :80] + 0.5
    found = listed(g, canvas, drawn)
    for i in drawn.visible:
        u, v, l11, l21, l22, cut = drawn.flat[i, :6].astype(float)
        inside = (l11 * (xs - u) + l21 * (ys - v)) ** 2 + (l22 * (ys - v)) ** 2 <= cut
        wanted = inside.reshape(3, 16, columns, 16).any(axis=(1, 3)).ravel()
        assert (found[i] | ~wanted).all()


@pytest.mark.parametrize("scale", [-4, -2, -1, 0])
def test_a_tile_is_listed_where_the_ellipse_comes_near_a_pixel_centre_s_rectangle_and_nowhere_else(scale):
    g = scene(80, 5, scale=scale, degree=0)
    canvas, drawn = lists(g, LARGE)
    found = listed(g, canvas, drawn)
    tall, slack = 0, np.array([-0.1, 0.1])
    for i in drawn.visible:
        p = drawn.flat[i].astype(float)
        tall += 2 * p[spans.HALF_Y] > 16 * (spans.KEPT + 1)
        for t in range(len(canvas.used)):
            x = np.array([0.5, 15.5]) + t % canvas.grid[0] * 16
            y = np.array([0.5, 15.5]) + t // canvas.grid[0] * 16
            if least_power(p, x, y) <= p[spans.CUT] * (1 - 1e-4):
                assert found[i, t]
            if least_power(p, x + slack, y + slack) > p[spans.CUT] * (1 + 1e-4):
                assert not found[i, t]
    assert found.sum() > 80
    assert (tall > 10) == (scale > -3)
    assert drawn.touched[drawn.visible].tolist() == found.sum(axis=1)[drawn.visible].tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_every_pair_has_a_number_of_its_own_and_a_gaussian_s_pairs_lie_together(seed):
    _, drawn = lists(scene(60, seed, scale=-1.5, degree=0))
    np.testing.assert_array_equal(np.sort(drawn.slots), np.arange(len(drawn.slots)))
    owner = np.zeros(len(drawn.slots), int)
    owner[drawn.slots] = drawn.ids
    for i in drawn.visible:
        first = drawn.slot_starts[i]
        assert (owner[first : first + drawn.touched[i]] == i).all()
    assert drawn.touched[drawn.visible].sum() == len(drawn.slots)


@pytest.mark.parametrize(
    ("farthest", "digits"), [(1.3, (2, 11)), (100.0, (2, 13)), (300.0, (3, 11)), (3e38, (3, 11)), (1.0, (2, 11))]
)
@pytest.mark.parametrize("count", [0, 1, 5000])
def test_depths_are_sorted_whatever_their_range_and_equal_ones_keep_their_order(farthest, digits, count):
    r = np.random.default_rng(count)
    depths = np.exp(r.uniform(0, np.log(farthest), count)).astype(np.float32)
    depths[::3] = depths[0] if count else 0
    depths[1:2], depths[2:3] = farthest, 1
    visible = np.sort(r.choice(9000, count, replace=False)).astype(np.int32)
    order, spare = np.full(count, -1, np.int32), np.zeros(count, np.int32)
    keys = depths.view(np.uint32).copy()
    if count > 1:
        assert tiles.digits_of(int(keys.max()) - int(keys.min())) == digits
    tiles.sort_by_depth(visible, order, spare, keys, np.zeros(count, np.uint32))
    np.testing.assert_array_equal(order, visible[np.argsort(depths, kind="stable")])
