import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import CAMERA, HERE, scene

from splat_pipeline.splatting import layout, project
from splat_pipeline.splatting.render import Canvas, Workspace, draw


def lists(g):
    canvas, room = Canvas.of(CAMERA.width_px, CAMERA.height_px), Workspace()
    cam = project.camera_vector(CAMERA, HERE)
    drawn = draw(layout.pack(g), cam, canvas, room, degree=0, background=np.zeros(3, np.float32))
    return canvas, drawn


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 0))
def test_every_tile_with_a_visible_contribution_is_listed_front_to_back(seed, scale):
    canvas, drawn = lists(scene(60, seed, scale=scale, degree=0))
    columns = canvas.grid[0]
    ys, xs = np.mgrid[:48, :80] + 0.5
    listed = np.zeros((60, len(canvas.used)), bool)
    for t in range(len(canvas.used)):
        ids = drawn.ids[canvas.starts[t] : canvas.starts[t + 1]]
        assert (np.diff(drawn.flat[ids, 10]) >= 0).all()
        assert len(set(ids)) == len(ids)
        listed[ids, t] = True
    for i in drawn.visible:
        u, v, l11, l21, l22, cut = drawn.flat[i, :6].astype(float)
        inside = (l11 * (xs - u) + l21 * (ys - v)) ** 2 + (l22 * (ys - v)) ** 2 <= cut
        wanted = inside.reshape(3, 16, columns, 16).any(axis=(1, 3)).ravel()
        assert (listed[i] | ~wanted).all()


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
