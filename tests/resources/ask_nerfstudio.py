"""Asks the real nerfstudio, in its own environment, what it makes of our data set, and has it export a known splat.

    PYTHON_OF_NERFSTUDIO ask_nerfstudio.py DATA WORK

Writes WORK/parser.json, the data parser's cameras, points and transform, and by its exporter WORK/splat.ply.
"""

import json
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.scripts.exporter import ExportGaussianSplat

DATA, WORK = Path(sys.argv[1]), Path(sys.argv[2])
config = NerfstudioDataParserConfig(
    data=DATA,
    downscale_factor=1,
    load_3D_points=True,
    orientation_method="none",
    center_method="none",
    auto_scale_poses=False,
)
outputs = config.setup().get_dataparser_outputs(split="train")
rng = np.random.default_rng(5)
names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(9))]
names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
rows = rng.normal(size=(20, len(names))).astype(np.float32)
columns = OrderedDict((name, rows[:, i]) for i, name in enumerate(names))
ExportGaussianSplat.write_ply(str(WORK / "splat.ply"), len(rows), columns)
told = {
    "camera_to_worlds": outputs.cameras.camera_to_worlds.tolist(),
    "lenses": [
        [float(getattr(outputs.cameras, key)[i]) for key in ("fx", "fy", "cx", "cy", "width", "height")]
        for i in range(len(outputs.image_filenames))
    ],
    "images": [path.name for path in outputs.image_filenames],
    "points": outputs.metadata["points3D_xyz"].tolist(),
    "colors": outputs.metadata["points3D_rgb"].tolist(),
    "transform": outputs.dataparser_transform.tolist(),
    "scale": outputs.dataparser_scale,
}
(WORK / "parser.json").write_text(json.dumps(told))
