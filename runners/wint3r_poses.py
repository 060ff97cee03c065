"""Poses by WinT3R (weights for non-commercial use only): a runner, see docs/pose-backends.md.

    python wint3r_poses.py --code /opt/WinT3R --checkpoint /models/wint3r.bin --accept-licence non-commercial REQUEST

Runs in WinT3R's environment. ``--code`` is a checkout of github.com/LiZizun/WinT3R: it is no package, and its modules
have common names. The checkpoint is a state dict (read by ``weights_only``: no code in it is run) or .safetensors. The
model knows no intrinsics: the focal length is found from the poses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from contract import Model, Part, Refused, accept, parser, run, told

LICENCE = "non-commercial"
LONGER_SIDE_PX = 512
SHAPE: dict[str, Any] = {
    "state_size": 1024,
    "state_pe": "2d",
    "pos_embed": "RoPE100",
    "patch_embed_cls": "ManyAR_PatchEmbed",
    "img_size": [LONGER_SIDE_PX, LONGER_SIDE_PX],
    "head_type": "conv",
    "enc_embed_dim": 1024,
    "enc_depth": 24,
    "enc_num_heads": 16,
    "dec_embed_dim": 768,
    "dec_depth": 12,
    "dec_num_heads": 12,
    "landscape_only": False,
}
"""Of the published weights."""


class WinT3R:
    """Fulfils ``contract.Model``: a window of ours is one stream of the model's, with its pool of camera tokens."""

    def __init__(self, net: Any, device: str) -> None:
        self.net, self.device = net, device

    def poses(self, paths: Sequence[str], sizes: Sequence[tuple[int, int]]) -> Part:
        """See ``contract.Model``. The model gives world from camera relative to the first image."""
        import torch
        from dust3r.utils.image import load_images_for_eval
        from dust3r.utils.misc import move_to_device
        from layers.pose_enc import pose_encoding_to_extri

        views = move_to_device(load_images_for_eval(list(paths), size=LONGER_SIDE_PX, verbose=False), self.device)
        on_cuda = self.device.startswith("cuda")
        with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16, enabled=on_cuda):
            found = self.net(views, mode="online")
        poses = np.tile(np.eye(4), (len(sizes), 1, 1))
        poses[:, :3] = pose_encoding_to_extri(found["camera_pos_enc"][-1])[0].float().cpu().numpy()[: len(sizes)]
        depth = found["pts_local"][0, ..., 2].flatten(1).float().median(dim=1).values.cpu().numpy()
        sure = torch.sigmoid(found["conf"][0].float()).flatten(1).mean(dim=1).cpu().numpy()
        return Part(
            world_from_camera=poses,
            depth=depth[: len(sizes)],
            confidence=[float(value) for value in sure[: len(sizes)]],
            intrinsics=[None] * len(sizes),
        )


def load(options: argparse.Namespace) -> Model:
    """Load the model. Raises ``Refused``."""
    accept(options.accept_licence, LICENCE)
    if not (options.code / "dust3r" / "wint3r.py").is_file():
        raise Refused(f"{options.code} is no checkout of WinT3R: dust3r/wint3r.py is not there")
    if not options.checkpoint.is_file():
        raise Refused(f"{options.checkpoint} is not there: --checkpoint names a file of weights")
    sys.path.insert(0, str(options.code))
    try:
        import torch
        from dust3r.wint3r import WinT3R as Net
    except ImportError as error:
        raise Refused(f"WinT3R cannot be imported here: {error}") from None
    net = Net(**SHAPE)
    if options.checkpoint.suffix == ".safetensors":
        from safetensors.torch import load_file

        weights = load_file(options.checkpoint)
    else:
        weights = torch.load(options.checkpoint, map_location="cpu", weights_only=True)
    missing = net.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise Refused(f"{options.checkpoint} lacks {len(missing)} of the model's weights, such as {missing[0]}")
    return WinT3R(net.to(options.device).eval(), options.device)


def main() -> None:
    made = parser(__doc__ or "", licence=LICENCE)
    made.add_argument("--code", type=Path, required=True, help="a checkout of WinT3R")
    run(made.parse_args(), load)


if __name__ == "__main__":
    told(main)
