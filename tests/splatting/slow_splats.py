"""Slow, obviously right, float64: every pixel looks at every Gaussian."""

import numpy as np

C1 = 0.4886025119029199
C2 = [1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396]
C3 = [
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
]


def sh_basis(degree, d):
    x, y, z = d
    out = [0.28209479177387814]
    if degree > 0:
        out += [-C1 * y, C1 * z, -C1 * x]
    if degree > 1:
        out += [
            C2[0] * x * y,
            C2[1] * y * z,
            C2[2] * (2 * z * z - x * x - y * y),
            C2[3] * x * z,
            C2[4] * (x * x - y * y),
        ]
    if degree > 2:
        out += [
            C3[0] * y * (3 * x * x - y * y),
            C3[1] * x * y * z,
            C3[2] * y * (4 * z * z - x * x - y * y),
            C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y),
            C3[4] * x * (4 * z * z - x * x - y * y),
            C3[5] * z * (x * x - y * y),
            C3[6] * x * (x * x - 3 * y * y),
        ]
    return np.array(out)


def rotation(q):
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def render(p, camera, cam_from_world, *, background=(0, 0, 0), degree=3, near=0.01, order=None, antialiased=False):
    """``p``: dict of float64 arrays means, quats, log_scales, logit_opacities, sh. Return image, alpha, depth.

    ``order``: blend in this order rather than by depth. ``antialiased``: opacities are multiplied by
    sqrt(det(cov without blur) / det(cov)).
    """
    R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
    center = -R.T @ t
    h, w = camera.height_px, camera.width_px
    ys, xs = np.mgrid[:h, :w] + 0.5
    image, through, depth = np.zeros((h, w, 3)), np.ones((h, w)), np.zeros((h, w))
    in_camera = p["means"] @ R.T + t
    for i in np.argsort(in_camera[:, 2], kind="stable") if order is None else order:
        x, y, z = in_camera[i]
        if z <= near:
            continue
        spare_x, spare_y = 0.15 * w / camera.fx_px, 0.15 * h / camera.fy_px
        tan_x = np.clip(x / z, -camera.cx_px / camera.fx_px - spare_x, (w - camera.cx_px) / camera.fx_px + spare_x)
        tan_y = np.clip(y / z, -camera.cy_px / camera.fy_px - spare_y, (h - camera.cy_px) / camera.fy_px + spare_y)
        J = np.array(
            [[camera.fx_px / z, 0, -camera.fx_px * tan_x / z], [0, camera.fy_px / z, -camera.fy_px * tan_y / z]]
        )
        M = rotation(p["quats"][i]) @ np.diag(np.exp(p["log_scales"][i]))
        sharp = J @ R @ M @ M.T @ R.T @ J.T
        cov = sharp + 0.3 * np.eye(2)
        conic = np.linalg.inv(cov)
        dx = xs - (camera.fx_px * x / z + camera.cx_px)
        dy = ys - (camera.fy_px * y / z + camera.cy_px)
        power = 0.5 * (conic[0, 0] * dx**2 + 2 * conic[0, 1] * dx * dy + conic[1, 1] * dy**2)
        opacity = 1 / (1 + np.exp(-p["logit_opacities"][i]))
        if antialiased:
            opacity *= np.sqrt(max(np.linalg.det(sharp), 0) / np.linalg.det(cov))
        alpha = np.minimum(opacity * np.exp(-power), 0.99)
        alpha = np.where((alpha >= 1 / 255) & (through >= 1e-4), alpha, 0)
        d = p["means"][i] - center
        basis = sh_basis(degree, d / np.linalg.norm(d))
        color = np.maximum(0.5 + basis @ p["sh"][i][: len(basis)], 0)
        image += (alpha * through)[..., None] * color
        depth += alpha * through * z
        through = through * (1 - alpha)
    alpha = 1 - through
    return image + through[..., None] * np.asarray(background, float), alpha, depth / np.maximum(alpha, 1e-10)
