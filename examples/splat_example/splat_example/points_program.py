"""One Gaussian on each sparse point: a program that fulfils the contract of a trainer.

    points_program.py --data FOLDER --out FILE.ply --degree N --iterations N

FOLDER holds ``sparse/0/points3D.bin`` (COLMAP's binary format) and ``images/``, which it does not need.
"""

import argparse
import struct
from pathlib import Path

import numpy as np

C0 = 0.28209479177387814
HEAD = struct.Struct("<Q3d3BdQ")


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return places (P, 3) and colours (P, 3) in [0, 1]."""
    data, rows, at = path.read_bytes(), [], 8
    for _ in range(struct.unpack_from("<Q", data)[0]):
        _, x, y, z, red, green, blue, _, track = HEAD.unpack_from(data, at)
        rows.append((x, y, z, red, green, blue))
        at += HEAD.size + 8 * track
    table = np.array(rows, np.float64).reshape(-1, 6)
    return table[:, :3], table[:, 3:] / 255


def sizes(places: np.ndarray, iterations: int) -> np.ndarray:
    """Return (P,) the distance of each place to the nearest other; tell the progress as if these were iterations."""
    found = np.empty(len(places))
    for i, place in enumerate(places):
        distance = np.linalg.norm(places - place, axis=1)
        distance[i] = np.inf
        found[i] = distance.min(initial=1.0)
        if i % max(len(places) // 10, 1) == 0:
            print(f"step {round(i / len(places) * iterations)} loss {1 - i / len(places):.4f}", flush=True)
    return np.maximum(found, 1e-4)


def write_splat(path: Path, places: np.ndarray, colours: np.ndarray, scales: np.ndarray, degree: int) -> None:
    """Write the layout of docs/conventions.md: logit opacity, logarithms of scales, quaternions wxyz."""
    rest = 3 * ((degree + 1) ** 2 - 1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(rest))]
    names += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    rows = np.zeros((len(places), len(names)), "<f4")
    rows[:, :3] = places
    rows[:, 6:9] = (colours - 0.5) / C0
    rows[:, 9 + rest] = 2.0
    rows[:, 10 + rest : 13 + rest] = np.log(scales)[:, None]
    rows[:, 13 + rest] = 1.0
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n"
    header += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    path.write_bytes(header.encode() + rows.tobytes())


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--degree", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=100)
    asked = parser.parse_args()
    places, colours = read_points(asked.data / "sparse" / "0" / "points3D.bin")
    write_splat(asked.out, places, colours, sizes(places, asked.iterations), asked.degree)


if __name__ == "__main__":
    main()
