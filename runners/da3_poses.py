"""Poses by Depth Anything 3, DA3-BASE or DA3-SMALL (weights under Apache-2.0): a runner, see docs/pose-backends.md.

    python da3_poses.py --checkpoint /models/DA3-BASE --accept-licence Apache-2.0 REQUEST

Runs where the package ``depth_anything_3`` is installed. The checkpoint is a folder with ``config.json`` and
``model.safetensors``: nothing is fetched, no pickle is read. Its confidence is no probability and is not passed on.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from contract import Model, Part, Refused, accept, parser, run, told

LICENCES = {"da3-base": "Apache-2.0", "da3-small": "Apache-2.0"}
OTHERS = "CC-BY-NC-4.0"
"""Of the larger models' weights."""
LONGER_SIDE_PX = 504


class DepthAnything3:
    """Fulfils ``contract.Model``."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def poses(self, paths: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Part:
        """See ``contract.Model``. The package gives camera from world, and intrinsics of the pictures it made."""
        found = self.net.inference(list(paths), process_res=LONGER_SIDE_PX, process_res_method="upper_bound_resize")
        cams_from_world = np.tile(np.eye(4), (len(paths), 1, 1))
        cams_from_world[:, :3] = np.asarray(found.extrinsics, float)[:, :3]
        height, width = np.asarray(found.processed_images).shape[1:3]
        scales = np.array([[w / width, h / height] for w, h in sizes])
        matrices = np.asarray(found.intrinsics, float)
        focals, middles = matrices[:, [0, 1], [0, 1]] * scales, matrices[:, :2, 2] * scales
        lenses = [
            dict(zip(("fx", "fy", "cx", "cy"), (*focal, *middle), strict=True))
            for focal, middle in zip(focals.tolist(), middles.tolist(), strict=True)
        ]
        return Part(
            world_from_camera=np.linalg.inv(cams_from_world),
            depth=np.median(np.asarray(found.depth, float).reshape(len(paths), -1), axis=1),
            confidence=[None] * len(paths),
            intrinsics=lenses,
        )


def load(options: argparse.Namespace) -> Model:
    """Load the model from its folder. Raises ``Refused``."""
    config, weights = options.checkpoint / "config.json", options.checkpoint / "model.safetensors"
    for path in (config, weights):
        if not path.is_file():
            raise Refused(f"{path} is not there: --checkpoint names a folder with config.json and model.safetensors")
    name = str(json.loads(config.read_text(encoding="utf-8")).get("model_name"))
    accept(options.accept_licence, LICENCES.get(name, OTHERS))
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from depth_anything_3.api import DepthAnything3 as Net
    except ImportError as error:
        raise Refused(f"depth_anything_3 cannot be imported here: {error}") from None
    return DepthAnything3(Net.from_pretrained(str(options.checkpoint)).to(options.device).eval())


def main() -> None:
    run(parser(__doc__ or "", licence="Apache-2.0 of DA3-BASE and DA3-SMALL").parse_args(), load)


if __name__ == "__main__":
    told(main)
