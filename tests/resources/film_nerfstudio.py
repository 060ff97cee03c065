"""Has the real nerfstudio film Gaussians of ours without a GPU: all of ``ns-render`` but the drawing itself.

    PYTHON_OF_NERFSTUDIO film_nerfstudio.py TOLD SCRIPT RUN_ARGUMENTS... -- RENDER_ARGUMENTS...

Runs our SCRIPT and then ns-render, each with the arguments that the pipeline gives it. What needs a GPU or a network is
replaced: each picture is painted by its number, and the network of LPIPS, which no picture needs, is left out. Writes
TOLD, what the model holds and which cameras it was to draw.
"""

import json
import runpy
import sys
from pathlib import Path

import torch
import torchmetrics.image.lpip as lpips
from nerfstudio.models.splatfacto import SplatfactoModel
from nerfstudio.scripts import render


class NoNetwork(torch.nn.Module):
    def __init__(self, **_: object) -> None:
        super().__init__()


TOLD, SCRIPT = Path(sys.argv[1]), sys.argv[2]
split = sys.argv.index("--")
run_arguments, render_arguments = sys.argv[3:split], sys.argv[split + 1 :]
told: dict = {"cameras": []}


def painted(self: SplatfactoModel, camera, obb_box=None) -> dict:
    height, width, number = int(camera.height), int(camera.width), len(told["cameras"])
    told["cameras"].append(
        {"pose": camera.camera_to_worlds[0].tolist(), "fx": float(camera.fx), "fy": float(camera.fy)}
    )
    told["model"] = {name: values.detach().tolist() for name, values in self.gauss_params.items()}
    told["degree"], told["step"], told["mode"] = self.config.sh_degree, self.step, self.config.rasterize_mode
    told["behind"] = self._get_background_color().tolist()
    rgb = torch.zeros(height, width, 3)
    rgb[..., 0], rgb[: height // 2, :, 1] = number / 10, 0.5
    return {"rgb": rgb, "accumulation": torch.full((height, width, 1), 0.5)}


lpips.LearnedPerceptualImagePatchSimilarity = NoNetwork
SplatfactoModel.get_outputs_for_camera = painted
sys.argv = [SCRIPT, *run_arguments]
runpy.run_path(SCRIPT, run_name="__main__")
sys.argv = ["ns-render", *render_arguments]
render.entrypoint()
TOLD.write_text(json.dumps(told))
