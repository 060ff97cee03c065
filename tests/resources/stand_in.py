"""Plays a training program in its own process: reads the capture it was given, writes Gaussians on its points.

    stand_in.py MODE DATA RESULT DEGREE [anything]

It reads the capture with pycolmap, not with our own reader, and checks what any trainer would fall over.
"""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

MODE, DATA, RESULT, DEGREE = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
if MODE == "hangs":
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["PID_FILE"]).write_text(f"{os.getpid()} {grandchild.pid}")
    time.sleep(600)

import numpy as np  # noqa: E402  # not needed to hang
import pycolmap  # noqa: E402
from PIL import Image  # noqa: E402

capture = pycolmap.Reconstruction(DATA / "sparse" / "0")
for image in capture.images.values():
    size = (capture.cameras[image.camera_id].width, capture.cameras[image.camera_id].height)
    assert Image.open(DATA / "images" / image.name).size == size, image.name
xyz = np.array([point.xyz for point in capture.points3D.values()])
rgb = np.array([point.color for point in capture.points3D.values()]) / 255
print(f"{len(capture.images)} images, {len(xyz)} points", flush=True)
for step in (1, 50, 100):
    if MODE == "inria":
        bar = f"Training progress:  {step}%|#  | {step}/100 [00:01<00:02, 50it/s, Loss=0.{step:07d}, Depth Loss=0]"
        print(bar, end="\r", flush=True)
    else:
        print(f"Step {step}: 0.{step:03d}", flush=True)
if MODE == "crashes":
    for line in range(500):
        print(f"line {line}")
    sys.exit(3)
if MODE == "no room":
    sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
if MODE == "empty handed":
    sys.exit(0)
rest = 3 * ((DEGREE + 1) ** 2 - 1)
names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(rest))]
names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
rows = np.zeros((len(xyz), len(names)), "<f4")
rows[:, :3], rows[:, 6:9], rows[:, -8], rows[:, -7:-4] = xyz, (rgb - 0.5) / 0.28209479177387814, 1, -3
rows[:, -4] = 1
if MODE == "a few nan":
    rows[:1] = np.nan
if MODE == "nan":
    rows[: len(rows) // 2, 0] = np.nan
if MODE == "none left":
    rows = rows[:0]
header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n"
header += "".join(f"property float {name}\n" for name in names) + "end_header\n"
RESULT.parent.mkdir(parents=True, exist_ok=True)
body = rows.tobytes()
RESULT.write_bytes(header.encode() + (body[:-7] if MODE == "cut off" else body))
if MODE == "no ply":
    RESULT.write_bytes(struct.pack("<4f", 1, 2, 3, 4) * 100)
if MODE == "a link":
    RESULT.rename(RESULT.with_suffix(".other"))
    RESULT.symlink_to("/etc/hostname")
