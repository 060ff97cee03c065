import numpy as np
import pytest
import slow_splats as oracle
from test_render import CAMERA, HERE, arrays, changed, scene

from splat_pipeline.domain.cameras import Camera
from splat_pipeline.splatting import blend, layout, optim, project, pullback
from splat_pipeline.splatting.recipe import TrainRecipe
from splat_pipeline.splatting.render import Canvas, Workspace, draw

SMALL = Camera(width_px=37, height_px=23, fx_px=30, fy_px=32, cx_px=17, cy_px=12)


def backward(g, camera, pose, upstream, background=(0.1, 0.5, 0.9), pulls=(0, 0), least=0.0):
    """Return d(Loss + Penalty)/d of every parameter for Loss = sum(upstream * image), and what ``draw`` gave."""
    k, n = g.sh.shape[1], len(g)
    rows, room = layout.pack(g), Workspace()
    canvas = Canvas.of(camera.width_px, camera.height_px)
    cam = project.camera_vector(camera, pose, antialiased=g.antialiased)
    drawn = draw(rows, cam, canvas, room, degree=g.sh_degree, background=np.float32(background), least_weight=least)
    records = layout.make_records(len(drawn.ids))
    records[:] = np.nan
    planes = np.ascontiguousarray(upstream.transpose(2, 0, 1), dtype=np.float32)
    where = (drawn.flat, canvas.starts, drawn.ids, drawn.slots, canvas.used, drawn.blocks)
    blend.blend_backward(*where, canvas.image, planes, records)
    gradients = np.zeros_like(rows)
    where = (drawn.flat, drawn.visible, drawn.touched, drawn.slot_starts, records)
    pullback.pull_back(rows, cam, g.sh_degree, *where, gradients, (np.float32(pulls[0]), np.float32(pulls[1])))
    columns = {
        "means": gradients[:, :3],
        "quats": gradients[:, 3:7],
        "log_scales": gradients[:, 7:10],
        "logit_opacities": gradients[:, 10],
        "sh": np.hstack([gradients[:, 11:14], gradients[:, 16 : 16 + 3 * (k - 1)]]).reshape(n, k, 3),
    }
    return columns, (rows, cam, drawn, records)


def differences(g, camera, pose, upstream, background=(0.1, 0.5, 0.9), step=1e-5, pulls=(0, 0)):
    """The same by central differences of the slow renderer, and where they cannot be trusted (a cut moved)."""
    p = arrays(g)
    # Order does not change with the parameters: derivatives are taken at the order of the start.
    order = np.argsort((p["means"] @ pose[:3, :3].T + pose[:3, 3])[:, 2], kind="stable")

    def loss():
        how = {"background": background, "degree": g.sh_degree, "order": order, "antialiased": g.antialiased}
        image, _, _ = oracle.render(p, camera, pose, **how)
        opacities, sigmas = 1 / (1 + np.exp(-p["logit_opacities"])), np.exp(p["log_scales"])
        return float((image * upstream).sum() + pulls[0] * opacities.sum() + pulls[1] * sigmas.sum())

    slopes, smooth = {}, {}
    for name, value in p.items():
        slopes[name], smooth[name] = np.zeros_like(value), np.ones(value.shape, bool)
        for at in np.ndindex(value.shape):
            kept, seen = value[at], []
            for h in (step, -step, step / 2, -step / 2):
                value[at] = kept + h
                seen.append(loss())
            value[at] = kept
            wide, narrow = (seen[0] - seen[1]) / (2 * step), (seen[2] - seen[3]) / step
            slopes[name][at] = narrow
            smooth[name][at] = abs(wide - narrow) < 1e-3 * (abs(wide) + abs(narrow)) + 1e-4
    return slopes, smooth


def check(g, camera=SMALL, pose=HERE, pulls=(0, 0)):
    upstream = np.random.default_rng(5).normal(size=(camera.height_px, camera.width_px, 3))
    got, _ = backward(g, camera, pose, upstream, pulls=pulls)
    want, smooth = differences(g, camera, pose, upstream, pulls=pulls)
    for name in got:
        ok = smooth[name]
        assert ok.mean() > 0.8, f"{name}: the oracle jumps too often to say anything"
        scale = np.abs(want[name][ok]).max(initial=1.0)
        np.testing.assert_allclose(got[name][ok], want[name][ok], atol=3e-4 * scale, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_gradients_of_every_parameter_are_the_finite_differences_of_the_slow_renderer(degree):
    check(scene(6, seed=degree, degree=degree, scale=-1.5))


def test_gradients_hold_from_a_turned_and_shifted_camera():
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = oracle.rotation(np.array([0.9, 0.1, -0.2, 0.3])), [0.2, -0.1, 0.5]
    check(scene(6, seed=9, degree=1, scale=-1.5), pose=pose)


@pytest.mark.parametrize(
    "columns",
    [
        {"means": [0, 0, -3]},
        {"means": [1.1, 0.7, 2], "log_scales": -1},
        {"means": [3.5, -2.5, 2], "log_scales": 0},
        {"means": [0.2, 0.1, 3]},
        {"log_scales": [0.5, 1, 1.2]},
        {"log_scales": -9},
        {"log_scales": [0.5, -5, -5]},
        {"logit_opacities": 9},
        {"logit_opacities": -5.3},
        {"quats": [0, 0, 3, 0]},
        {"antialiased": True},
        {"antialiased": True, "log_scales": -4, "logit_opacities": 3},
        {"antialiased": True, "log_scales": [-1, -4, -4]},
        {"antialiased": True, "log_scales": [0.5, 1, -6]},
    ],
    ids=str,
)
def test_gradients_hold_at_the_edges(columns):
    check(changed(scene(4, seed=3, degree=1, scale=-1.5), **columns))


@pytest.mark.parametrize("antialiased", [False, True])
def test_penalties_on_opacity_and_size_are_part_of_the_gradient(antialiased):
    g = changed(scene(6, seed=1, degree=0, scale=-1.5), means=scene(6).means * [0.2, 0.2, 1], antialiased=antialiased)
    assert backward(g, SMALL, HERE, np.zeros((23, 37, 3)))[1][2].touched.all(), "what no view sees feels no penalty"
    check(g, pulls=(40.0, 70.0))


def test_a_stack_of_opaque_gaussians_keeps_its_front_gradients():
    n = 60
    means = np.zeros((n, 3))
    means[:, 2] = np.linspace(2, 3, n)
    g = changed(scene(n, seed=2, degree=0), means=means, log_scales=-0.5, logit_opacities=4)
    upstream = np.ones((23, 37, 3))
    got, _ = backward(g, SMALL, HERE, upstream)
    assert all(np.isfinite(v).all() for v in got.values())
    assert np.abs(got["sh"][0]).max() > 1
    assert not np.abs(got["sh"][-1]).max() > np.abs(got["sh"][0]).max()


def widened(halves):
    return (halves.astype("u4") << 16).view("f4")


def test_one_fused_step_is_the_gradient_followed_by_adam():
    g = scene(50, degree=2)
    upstream = np.random.default_rng(1).normal(size=(CAMERA.height_px, CAMERA.width_px, 3))
    _, (rows, cam, drawn, records) = backward(g, CAMERA, HERE, upstream)
    gradients = np.zeros_like(rows)
    where = (drawn.flat, drawn.visible, drawn.touched, drawn.slot_starts, records)
    pullback.pull_back(rows, cam, 2, *where, gradients)
    r = np.random.default_rng(0)
    rates = r.uniform(0, 0.1, rows.shape[1]).astype("f4")
    v = (r.uniform(0, 1, rows.shape).astype("f4").view("u4") >> 16).astype("u2")
    m = v[::-1, :16].copy()
    first, second = widened(m), widened(v)
    moved = rows.copy()
    score, seen, weight = (np.zeros(50, np.float32) for _ in range(3))
    optim.pull_back_and_step(
        moved, m, v, 1, rates, np.float32(1.5), cam, 2, *where, score, seen, weight, pullback.NO_PULLS
    )
    mask = np.zeros((50, 1), bool)
    mask[drawn.ids[drawn.blocks > 0], 0] = True
    want_m = np.where(mask, 0.9 * first + 0.1 * gradients[:, :16], first)
    way = np.hstack([want_m, gradients[:, 16:]])
    want_v = np.where(mask, 0.999 * second + 0.001 * gradients**2, second)
    want = np.where(mask, rows - rates * way / (1.5 * np.sqrt(want_v) + 1e-15), rows)
    np.testing.assert_allclose(widened(m), want_m, rtol=1 / 256, atol=1e-6)
    np.testing.assert_allclose(widened(v), want_v, rtol=1 / 128, atol=1e-6)
    off = (widened(v) / np.maximum(want_v, 1e-20) - 1)[mask[:, 0]][:, :11]
    assert abs(off.mean()) < 3 * off.std() / np.sqrt(off.size)  # rounded up as often as down
    np.testing.assert_allclose(moved, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(moved[~mask[:, 0]], rows[~mask[:, 0]])
    np.testing.assert_array_equal(seen > 0, drawn.touched > 0)
    assert 0 < mask.mean() < 1
    assert score.min() >= 0


def test_what_weighs_little_is_left_out_of_the_gradient_and_changes_it_little():
    g = scene(300, degree=1)
    upstream = np.random.default_rng(2).normal(size=(CAMERA.height_px, CAMERA.width_px, 3))
    whole, (*_, drawn, _) = backward(g, CAMERA, HERE, upstream)
    lit = np.unpackbits(drawn.blocks.view(np.uint8)).sum()
    some, (*_, less, records) = backward(g, CAMERA, HERE, upstream, least=TrainRecipe().least_weight)
    fewer = np.unpackbits(less.blocks.view(np.uint8)).sum()
    assert 0 < fewer < lit
    assert (records[less.slots[less.blocks == 0]] == 0).all()
    for name, exact in whole.items():
        assert np.linalg.norm(some[name] - exact) < 0.02 * np.linalg.norm(exact), name
