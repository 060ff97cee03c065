"""Makes a run of nerfstudio, as a training leaves one, of Gaussians that were trained elsewhere.

    PYTHON_OF_NERFSTUDIO nerfstudio_run.py GAUSSIANS.npz DATA RUN

Run by ``nerfstudio_film`` in the environment of nerfstudio, from a copy elsewhere, for beside it lies a module that is
called nerfstudio too; nothing of this project is imported. GAUSSIANS.npz holds means, scales, quats, features_dc,
features_rest and opacities as its splatfacto names and shapes them, and whether they are ``antialiased``. DATA is a
data set for its data parser. RUN gets ``config.yml`` and one checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path

STEP = 29_999


def main(gaussians: Path, data: Path, run: Path) -> None:
    """Write the run. The experiment, method and time of nerfstudio's folders are the last three parts of ``run``."""
    import numpy as np
    import torch
    from nerfstudio.configs.method_configs import method_configs

    with np.load(gaussians, allow_pickle=False) as arrays:
        antialiased = bool(arrays["antialiased"])
        values = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "antialiased"}
    config = method_configs["splatfacto"]
    config.output_dir, config.experiment_name, config.timestamp = run.parents[2], run.parents[1].name, run.name
    parser = config.pipeline.datamanager.dataparser
    parser.data, parser.downscale_factor, parser.load_3D_points = data, 1, False
    parser.orientation_method, parser.center_method, parser.auto_scale_poses = "none", "none", False
    model = config.pipeline.model
    model.sh_degree = round((values["features_rest"].shape[1] + 1) ** 0.5) - 1
    model.rasterize_mode = "antialiased" if antialiased else "classic"
    model.background_color = "black"  # what lies behind is added to the pictures, by their accumulation
    model.random_init, model.num_random = True, 10  # replaced by the checkpoint's
    config.save_config()
    folder = config.get_checkpoint_dir()
    folder.mkdir(parents=True)
    state = {f"_model.gauss_params.{name}": tensor for name, tensor in values.items()}
    torch.save({"step": STEP, "pipeline": state}, folder / f"step-{STEP:09d}.ckpt")


if __name__ == "__main__":
    main(*(Path(argument).absolute() for argument in sys.argv[1:4]))
