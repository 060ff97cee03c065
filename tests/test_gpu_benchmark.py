"""The benchmark for GPUs, as far as it goes without one: its refusal, its arguments, and a run with stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import cases  # noqa: E402
import gpu  # noqa: E402

from resources import gpu_meter  # noqa: E402
from resources.gpu.recipe import Schedule  # noqa: E402
from resources.gpu_meter import GpuFacts  # noqa: E402
from resources.gsplat_trainer import GsplatTrainer  # noqa: E402
from splat_pipeline.domain.gaussians import SH_C0, Gaussians  # noqa: E402
from splat_pipeline.ports.training import TrainingResult  # noqa: E402
from splat_pipeline.splatting.seeds import scene_extent  # noqa: E402


class OnThePoints(GsplatTrainer):
    """Trains nothing: a Gaussian on each point."""

    def unavailable(self):
        return None

    def free_bytes(self):
        return None  # there is no torch to be asked

    def train(self, views, points, colors, plan, *, say, ongoing=None, take_over=False):
        n, k = len(points), (plan.sh_degree + 1) ** 2
        sh = np.zeros((n, k, 3), np.float32)
        sh[:, 0] = (colors / 255 - 0.5) / SH_C0
        made = Gaussians(
            means=points,
            quats=np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
            log_scales=np.full((n, 3), np.log(scene_extent(views.views)) - 3, np.float32),
            logit_opacities=np.ones(n, np.float32),
            sh=sh,
        )
        return TrainingResult(gaussians=made)


THEIRS = """
import sys
args = sys.argv[1:]
value = lambda name: args[args.index(name) + 1]
assert args[0] in ("default", "mcmc")
out = f"{{value('--result-dir')}}/ply/point_cloud_{{int(value('--max-steps')) - 1}}.ply"
sys.argv = ["stand_in", "works", value("--data-dir"), out, value("--sh-degree")]
exec(compile(open({stand_in!r}).read(), "stand_in", "exec"))
"""


def without_torch(folder, monkeypatch):
    """Let child processes find stand-ins of torch and torchmetrics: what is left out is, what is run is not."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("class nn:\n    class Module:\n        pass\n")
    (folder / "torchmetrics" / "image").mkdir(parents=True)
    for name in ("__init__", "image/__init__"):
        (folder / "torchmetrics" / f"{name}.py").touch()
    (folder / "torchmetrics" / "image" / "lpip.py").write_text("LearnedPerceptualImagePatchSimilarity = 1 / 1\n")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")


def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(GsplatTrainer, "unavailable", lambda self: "torch sees no CUDA device")
    with pytest.raises(SystemExit) as caught:
        gpu.main(["--json", str(tmp_path / "gpu.json")])
    assert caught.value.code == "nothing is measured here: torch sees no CUDA device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("strategy", "more"), [("ranked", "--strategy.absgrad"), ("mcmc", "--strategy.cap-max")])
def test_theirs_is_called_with_the_settings_of_ours(strategy, more):
    args = gpu.options().parse_args(["--json", "x", "--gaussians", "123456"])
    plan = gpu.plan_of(7_000, strategy, args)
    argv = gpu.arguments_of(plan, "python", Path("/g/simple_trainer.py"), data=Path("/d"), result=Path("/r"))
    told = dict(pairwise(argv))
    assert argv[3] == gpu.STRATEGIES[strategy]
    assert (told["--max-steps"], told["--sh-degree"], told["--test-every"]) == ("7000", "3", str(cases.HOLDOUT))
    assert told["--ply-steps"] == told["--max-steps"]
    assert more in argv
    assert "--no-normalize-world-space" in argv, "what it trains must be in our world to be compared"
    assert told["--eval-steps"] == "0", "time is that of training"
    assert told["--sh-degree-interval"] == "233"
    assert (told["--strategy.refine-start-iter"], told["--strategy.refine-every"]) == ("233", "47")
    if strategy == "mcmc":
        assert told["--strategy.cap-max"] == str(plan.max_gaussians) == "123456"
        assert told["--strategy.refine-stop-iter"] == "5833"
    else:
        assert told["--strategy.refine-stop-iter"] == "3500"
        assert told["--strategy.reset-every"] == "700"


def test_at_the_usual_length_the_strategies_own_figures_hold():
    for strategy, stop in (("ranked", 15_000), ("mcmc", 25_000)):
        schedule = Schedule.of(30_000, mcmc=strategy == "mcmc")
        assert schedule == Schedule(start=500, stop=stop, every=100, reset_every=3000)


def test_theirs_runs_as_it_is_on_one_gpu_and_without_a_metric_whose_network_would_be_fetched(tmp_path, monkeypatch):
    without_torch(tmp_path, monkeypatch)
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "beside.py").write_text("FOUND = 'beside'\n")
    (examples / "simple_trainer.py").write_text(
        "import os, sys\nfrom beside import FOUND\n"
        "from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity as Lpips\n"
        "Lpips(net_type='alex', normalize=True)\n"
        "print(__name__, FOUND, os.environ['CUDA_VISIBLE_DEVICES'], *sys.argv[1:])\n"
    )
    argv = [sys.executable, str(gpu.EXAMPLE), str(examples / "simple_trainer.py"), "default", "--max-steps", "7"]
    for visible, first in ((None, "0"), ("3,1", "3")):
        given = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        given |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        told = subprocess.run(argv, capture_output=True, text=True, check=True, env=given)
        assert told.stdout.split() == ["__main__", "beside", first, "default", "--max-steps", "7"]


def test_a_case_may_have_a_name():
    args = gpu.options().parse_args(["--json", "x", "--case", "garden=/data/g", "--case", "/data/room"])
    assert args.case == [("garden", Path("/data/g")), ("room", Path("/data/room"))]
    assert args.iterations == [7_000, 30_000]


def test_a_run_trains_both_on_every_case_and_compares_them_on_the_same_views(tmp_path, monkeypatch, capsys):
    examples = tmp_path / "gsplat" / "examples"
    examples.mkdir(parents=True)
    stand_in = ROOT / "tests" / "resources" / "stand_in.py"
    (examples / "simple_trainer.py").write_text(THEIRS.format(stand_in=str(stand_in)))
    without_torch(tmp_path, monkeypatch)
    monkeypatch.setattr(gpu, "BUILD", "print('built')")
    monkeypatch.setattr(gpu, "machine", lambda: {"gpu": "none"})
    monkeypatch.setattr(gpu, "load", lambda folder, **asked: cases.made(48, frames=16))
    seen, scored = [], gpu.scored
    monkeypatch.setattr(
        gpu, "scored", lambda trainer, trained, *rest: seen.append(trained) or scored(trainer, trained, *rest)
    )
    peaks = iter([100, 3_000_000_100, 700, 2_000_000_700] * 2)

    @contextmanager
    def metered():
        yield [GpuFacts(peak_vram_bytes=next(peaks), share=0.5, power_w=None)]

    monkeypatch.setattr(gpu_meter, "metered", metered)
    file = tmp_path / "gpu.json"
    asked = ["--json", str(file), "--gsplat", str(tmp_path / "gsplat"), "--iterations", "100", "--longer-side", "48"]
    gpu.main(asked, trainer=OnThePoints())
    figures = json.loads(file.read_text())
    assert [(row["strategy"], row["who"]) for row in figures["rows"]] == [
        ("ranked", "ours"),
        ("ranked", "gsplat's"),
        ("mcmc", "ours"),
        ("mcmc", "gsplat's"),
    ]
    ours, others = figures["rows"][:2]
    assert ours["gaussians"] == others["gaussians"]
    assert ours["psnr_db"] == pytest.approx(others["psnr_db"], abs=0.5), "both are a Gaussian on each point"
    assert (ours["peak_vram_gb"], others["peak_vram_gb"]) == (3.0, 2.0), "what ours still held is not theirs"
    extent = scene_extent(cases.made(48, frames=16).views)
    assert not 0.9 < extent < 1.1, "the scene is not as large as theirs gets it"
    places = [np.sort(trained.means, axis=0) for trained in seen[:2]]  # it reads them in an order of its own
    np.testing.assert_allclose(places[1], places[0], atol=1e-5 * extent)
    np.testing.assert_allclose(seen[1].log_scales, np.log(extent) - 3, rtol=1e-5)
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| case | strategy | iterations | who | psnr_db")
    assert len(table) == 6
