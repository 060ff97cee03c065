"""Camera paths with a known up: -y. Shared by the tests of the world's frame."""

import numpy as np

from splat_pipeline.domain.rigid import rigid, rotation_from_quat

UP = np.array([0.0, -1, 0])


def look(center, target, up=UP, roll_deg=0.0):
    """cam_from_world that looks from ``center`` to ``target``."""
    forward = np.subtract(target, center) / np.linalg.norm(np.subtract(target, center))
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    roll = np.radians(roll_deg)
    rotation = rotation_from_quat([np.cos(roll / 2), 0, 0, np.sin(roll / 2)]) @ rotation
    return rigid(rotation, -rotation @ np.asarray(center, float))


def orbit(count=24, rolls=(0.0,), height=-0.8):
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centers = [(3 * np.cos(t), height, 3 * np.sin(t)) for t in turns]
    return np.stack([look(c, (0, 0, 0), roll_deg=rolls[i % len(rolls)]) for i, c in enumerate(centers)])


def along(centers, pitch_deg=0.0, heading_deg=0.0, rolls=(0.0,)):
    """Cameras that look ``heading_deg`` from +z towards +x and ``pitch_deg`` up."""
    pitch, headings = np.radians(pitch_deg), np.radians(np.broadcast_to(heading_deg, len(centers)))
    ways = [(np.sin(h) * np.cos(pitch), -np.sin(pitch), np.cos(h) * np.cos(pitch)) for h in headings]
    return np.stack(
        [
            look(c, np.add(c, way), roll_deg=rolls[i % len(rolls)])
            for i, (c, way) in enumerate(zip(centers, ways, strict=True))
        ]
    )


def survey(lanes=4, shots=5, turned=True, height=-10.0, step=1.0):
    """Nadir cameras flown up and down; ``turned``: the aircraft turns at the ends, otherwise it always faces +z."""
    grid = [
        (step * x, height, step * z) for x in range(lanes) for z in (range(shots) if x % 2 == 0 else range(shots)[::-1])
    ]
    ways = [np.array([0, 0, 1.0 if x % 2 == 0 or not turned else -1.0]) for x in range(lanes) for _ in range(shots)]
    return np.stack([look(c, np.add(c, (0.02, -height, 0.3)), up=way) for c, way in zip(grid, ways, strict=True)])


def centers_of(cameras):
    return -np.einsum("nji,nj->ni", cameras[:, :3, :3], cameras[:, :3, 3])


def tilt_deg(a, b):
    return np.degrees(np.arccos(np.clip(a @ b, -1, 1)))
