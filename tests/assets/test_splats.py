"""The plan follows the gates, and training walks down its ladder only when it must, keeping every reason."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from gates import metrics_of
from pieces import window_model

from resources.machine import LocalMachine
from resources.stores import FileStore
from splat_pipeline.assets.failures import explain
from splat_pipeline.assets.partitions import jobs
from splat_pipeline.assets.splats import splat_in, training_plan
from splat_pipeline.domain import tables
from splat_pipeline.domain.cameras import Camera, View
from splat_pipeline.domain.errors import Diverged, OutOfMemory, ToolMissing
from splat_pipeline.domain.formats.colmap import write_model
from splat_pipeline.domain.formats.ply import read_ply
from splat_pipeline.domain.gaussians import Gaussians
from splat_pipeline.domain.memory import Footprint, Pictures
from splat_pipeline.domain.plans import Detail, TrainingPlan
from splat_pipeline.domain.quality import judge_stage, write_verdicts
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.ports.training import TrainingResult, TrainingViews

JOB = "scene-00000000"
CAMERA = Camera(width_px=8, height_px=6, fx_px=8, fy_px=8, cx_px=4, cy_px=3)


STEP = {"iteration": 1, "loss": 0.5, "psnr_db": 20.0, "gaussians": 5, "factor": 4, "seconds": 0.1}


@dataclass
class Tight(LocalMachine):
    """A machine with so much memory left."""

    left: int | None

    def free_bytes(self) -> int | None:
        return self.left


@dataclass
class FewImages:
    """Two views for training, one held out."""

    def sizes(self, keyframes: Path, poses: Path) -> Pictures:
        return Pictures(count=2, width_px=1600, height_px=1200)

    def load(self, keyframes: Path, poses: Path, points: Path, *, longer_side_px: int, holdout: bool) -> TrainingViews:
        ids = [8] if holdout else [1, 2]
        views = [View(name=str(i), camera=CAMERA, cam_from_world=np.eye(4)) for i in ids]
        return TrainingViews(images=[np.zeros((6, 8, 3), np.uint8) for _ in ids], views=views, keyframe_ids=ids)


@dataclass
class MoodyTrainer:
    """Fails with the given errors, in order, then succeeds; remembers the plans that it saw."""

    errors: list[Exception] = field(default_factory=list)
    psnr_db: float = 27.0
    trained_db: float = 28.0
    by_rung: dict[str, float] = field(default_factory=dict)
    """Held-out PSNR where it differs by detail."""
    last_loss: float = 0.1
    plans: list[TrainingPlan] = field(default_factory=list)
    took_over: list[bool] = field(default_factory=list)
    alive: list[bool] = field(default_factory=list)
    """Whether the images of the training before were still there."""
    before: weakref.ref | None = None
    seen: list[list[int]] = field(default_factory=list)
    """Keyframes of each training."""
    name: str = "moody"
    device: str = "cpu"
    licence: str = "none"
    options: tuple[str, ...] = ("antialias",)
    vram_bytes: int | None = None
    missing: str | None = None

    def unavailable(self) -> str | None:
        return self.missing

    def free_bytes(self) -> int | None:
        return self.vram_bytes

    def footprint(self, sh_degree: int) -> Footprint:
        return Footprint(image=3, pixel=0, gaussian=1000, copied=0, pair=0, fixed=0)

    def train(self, views, points, colors, plan, *, say, ongoing, take_over) -> TrainingResult:
        self.plans.append(plan)
        self.seen.append(list(views.keyframe_ids))
        self.took_over.append(take_over)
        self.alive.append(self.before is not None and self.before() is not None)
        self.before = weakref.ref(views.images[0])
        (ongoing / f"{plan.detail}.npz").write_bytes(b"what was done so far")
        if self.errors:
            raise self.errors.pop(0)
        n = len(points)
        made = Gaussians(
            means=points,
            quats=np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
            log_scales=np.full((n, 3), list(Detail).index(plan.detail), np.float32),
            logit_opacities=np.zeros(n, np.float32),
            sh=np.zeros((n, 4, 3), np.float32),
        )
        return TrainingResult(gaussians=made, history=[STEP, {**STEP, "iteration": 2, "loss": self.last_loss}])

    def evaluate(self, gaussians, views: TrainingViews) -> list[tuple[float, float]]:
        if 8 not in views.keyframe_ids:
            return [(self.trained_db, 0.95) for _ in views.views]
        rung = list(Detail)[round(float(gaussians.log_scales[0, 0]))]
        return [(self.by_rung.get(rung, self.psnr_db), 0.9) for _ in views.views]

    def evaluate_corrected(self, gaussians, views: TrainingViews) -> list[float]:
        return [self.psnr_db + 1 for _ in views.views]


@dataclass
class OnlyThis:
    """The trainers of an installation that has one."""

    trainer: MoodyTrainer
    asked: list[str] = field(default_factory=list)

    def names(self) -> Sequence[str]:
        return [self.trainer.name]

    def named(self, name: str) -> MoodyTrainer:
        if name != self.trainer.name or self.trainer.missing:
            raise ToolMissing(f"the trainer {name} cannot be used: {self.trainer.missing}")
        return self.trainer

    def chosen(self, asked: str) -> tuple[MoodyTrainer, str]:
        self.asked.append(asked)
        return self.named(self.trainer.name if asked == "auto" else asked), "the only one"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", tmp_path / "delivered")


def given(store: FileStore, *, registered_share: float = 1.0, recipe: Recipe | None = None) -> None:
    """Publish what comes before: a manifest, keyframes and poses with their verdicts, a point cloud."""
    verdicts = {
        "keyframes": metrics_of("keyframes", keyframes=40.0, sharp_share=0.9),
        "camera_poses": metrics_of("camera_poses", registered_share=registered_share, rms_px=0.6),
    }
    for asset in ("source_videos", "keyframes", "camera_poses", "point_cloud"):
        with store.scratch(JOB, asset) as folder:
            if asset == "source_videos":
                (folder / "manifest.json").write_text(json.dumps({"recipe": (recipe or Recipe()).model_dump()}))
            if asset in verdicts:
                write_verdicts(folder / "gates.json", judge_stage(asset, verdicts[asset]))
            if asset == "point_cloud":
                row = {
                    "x": 0.0,
                    "y": 0.0,
                    "z": 2.0,
                    "red": 1,
                    "green": 2,
                    "blue": 3,
                    "error_px": 0.5,
                    "track_length": 3,
                }
                tables.write_table(folder / "points.parquet", tables.POINTS, [row] * 5)
            if asset == "keyframes":
                tables.write_table(folder / "keyframes.parquet", tables.KEYFRAMES, [keyframe(i) for i in range(9)])
            if asset == "camera_poses":
                (folder / "sparse").mkdir()
                write_model(folder / "sparse", window_model(0, 9))
                tables.write_table(folder / "poses.parquet", tables.POSES, [pose(i) for i in range(9)])
            store.publish(JOB, asset, folder, provenance={})


def keyframe(i: int) -> dict[str, object]:
    named = {"keyframe_id": i, "video_id": "a", "frame_index": i, "segment_id": "a", "file": f"images/a/{i}.jpg"}
    return {**named, "pts_s": float(i), "width_px": 8, "height_px": 6, "camera_id": 0, "holdout": i == 8}


def pose(i: int) -> dict[str, object]:
    """Of the second frame, one that is hardly known."""
    none = dict.fromkeys(column.name for column in tables.POSES.columns)
    sure = 0.05 if i == 2 else 0.9
    return {**none, "keyframe_id": i, "registered": True, "window_ids": [0], "pose_confidence": sure}


def run(
    store: FileStore,
    instance: dg.DagsterInstance,
    trainer: MoodyTrainer,
    config: dict[str, object] | None = None,
    free_bytes: int | None = 10**12,
) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(str(jobs.name), [JOB])
    return dg.materialize(
        [training_plan, splat_in("train_cpu")],
        partition_key=JOB,
        instance=instance,
        resources={"store": store, "machine": Tight(free_bytes), "loader": FewImages(), "trainers": OnlyThis(trainer)},
        run_config={"ops": {"training_plan": {"config": config}}} if config else None,
        raise_on_error=False,
    )


def plan_of(store: FileStore) -> dict[str, object]:
    return json.loads((store.fetch(JOB, "splat").folder / "plan.json").read_text())


def details(plans: Sequence[TrainingPlan]) -> list[Detail]:
    return [plan.detail for plan in plans]


def test_good_gates_train_at_full_detail_without_a_reason(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer()
    assert run(store, instance, trainer).success
    assert details(trainer.plans) == [Detail.FULL]
    assert plan_of(store)["reasons"] == []


def test_a_weak_gate_lowers_the_detail_and_the_artifact_says_why(store: FileStore, instance: dg.DagsterInstance):
    given(store, registered_share=0.6)
    trainer = MoodyTrainer()
    assert run(store, instance, trainer).success
    assert details(trainer.plans) == [Detail.REDUCED]
    assert plan_of(store)["reasons"] == [
        "registered_well: registered_share 0.6, must be at least 0.8",
        "1 frames are left out of the training: 0 outside the core of the reconstruction, 1 with unsure poses",
    ]
    assert trainer.seen == [[1]]


def test_what_a_person_asks_for_wins_over_the_gates_and_is_said(store: FileStore, instance: dg.DagsterInstance):
    given(store, registered_share=0.6)
    trainer = MoodyTrainer()
    assert run(store, instance, trainer, {"detail": "full"}).success
    assert details(trainer.plans) == [Detail.FULL]
    assert plan_of(store)["reasons"] == ["asked for: full"]


def test_an_unknown_detail_is_refused_with_the_known_ones(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    done = run(store, instance, MoodyTrainer(), {"detail": "huge"})
    told = explain(done.all_events)
    assert told["class"] == "BadJobFile"
    assert "huge" in (told["cause"] or "")


def test_overrides_of_the_job_reach_the_trainer(store: FileStore, instance: dg.DagsterInstance):
    asked = {"training": {"iterations": 123, "antialias": True}, "seed": 9}
    given(store, recipe=Recipe().overridden(asked, source="job.yaml"))
    trainer = MoodyTrainer()
    assert run(store, instance, trainer).success
    assert (trainer.plans[0].iterations, trainer.plans[0].seed) == (123, 9)
    assert trainer.plans[0].options == {"antialias": True}
    assert plan_of(store)["options"] == {"antialias": True}


@pytest.mark.parametrize("error", [Diverged("loss is nan"), OutOfMemory("8 GB"), MemoryError("8 GB")])
def test_a_failed_training_is_tried_one_rung_lower_and_both_are_kept(
    store: FileStore, instance: dg.DagsterInstance, error: Exception
):
    given(store)
    trainer = MoodyTrainer(errors=[error])
    assert run(store, instance, trainer).success
    assert details(trainer.plans) == [Detail.FULL, Detail.REDUCED]
    assert trainer.took_over == [False, not isinstance(error, Diverged)]
    assert trainer.alive == [False, False]
    plan = plan_of(store)
    assert plan["detail"] == "reduced"
    assert len(plan["reasons"]) == 1
    assert [attempt["outcome"] for attempt in plan["attempts"]] == [
        "OutOfMemory" if isinstance(error, MemoryError) else type(error).__name__,
        "kept",
    ]


def test_below_the_last_rung_the_job_fails_with_the_last_error(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer(errors=[Diverged(f"loss is nan, try {i}") for i in range(3)])
    done = run(store, instance, trainer)
    assert not done.success
    assert details(trainer.plans) == list(Detail)
    assert explain(done.all_events)["cause"] == "loss is nan, try 2"
    rows = store.rows(tables.STAGES)
    assert list(rows[rows["stage"] == "splat"]["failure_signature"]) == ["diverged | splat | loss is nan, try #"]


def test_a_splat_that_resembles_nothing_is_stopped_by_its_gate(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    done = run(store, instance, MoodyTrainer(psnr_db=8.0))
    assert not done.success
    assert explain(done.all_events)["class"] == "Untrained"
    gates = store.rows(tables.GATES).set_index("gate")
    assert not gates.loc["learned", "passed"]
    assert gates.loc["learned", "severity"] == "ERROR"


def test_the_artifact_holds_gaussians_history_and_scores(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    assert run(store, instance, MoodyTrainer()).success
    folder = store.fetch(JOB, "splat").folder
    assert len(read_ply(folder / "gaussians.ply")) == 5
    rows = tables.read_table(folder / "heldout.parquet", tables.HELDOUT).to_dict("records")
    assert rows == [pytest.approx({"keyframe_id": 8, "psnr_db": 27.0, "ssim": 0.9, "psnr_corrected_db": 28.0})]
    assert list(tables.read_table(folder / "training.parquet", tables.TRAINING)["rung"]) == ["full", "full"]


def test_a_plan_that_does_not_fit_into_memory_is_made_smaller_before_anything_is_read(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store)
    trainer = MoodyTrainer()
    assert run(store, instance, trainer, free_bytes=50_000_000).success
    (plan,) = trainer.plans
    assert plan.max_gaussians < 50_000
    told = plan_of(store)["reasons"]
    assert len(told) == 1
    assert told[0].startswith("memory: 103 MB wanted for 2 images of 800 px and 100000 Gaussians, 50 MB free: ")


def test_a_machine_that_does_not_tell_its_memory_trains_as_planned(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer()
    assert run(store, instance, trainer, free_bytes=None).success
    assert plan_of(store)["reasons"] == []


def test_what_an_unfinished_training_left_is_found_by_the_next_run_and_gone_when_it_is_published(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store)
    seen: list[list[str]] = []

    class Looks(MoodyTrainer):
        def train(self, views, points, colors, plan, *, say, ongoing, take_over):
            seen.append(sorted(path.name for path in ongoing.iterdir()))
            return super().train(views, points, colors, plan, say=say, ongoing=ongoing, take_over=take_over)

    assert not run(store, instance, Looks(errors=[RuntimeError("killed")])).success
    assert run(store, instance, Looks()).success
    assert run(store, instance, Looks()).success
    assert seen == [[], ["full.npz"], []]


def test_what_was_left_for_other_inputs_is_not_found(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    assert not run(store, instance, MoodyTrainer(errors=[RuntimeError("killed")])).success
    given(store, recipe=Recipe().overridden({"training": {"iterations": 123}}, source="job.yaml"))
    trainer = MoodyTrainer(errors=[RuntimeError("killed")])
    assert not run(store, instance, trainer).success
    left = sorted(path.name for path in store.ongoing(JOB, "splat", "other").parent.rglob("*.npz"))
    assert left == []


def test_the_course_of_the_training_is_shown_as_curves_and_a_table(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    done = run(store, instance, MoodyTrainer())
    (made,) = done.asset_materializations_for_node("splat")
    text = str(made.metadata["course"].value)
    assert text.count("](data:image/svg+xml;base64,") == 2
    assert "| 2 | 0.1000 | 20.00 | 5 | 1/4 | 0.1 |" in text


def ladder(store: FileStore) -> list[tuple[str, str]]:
    rows = tables.read_rows(store.fetch(JOB, "splat").folder / "ladder.parquet", tables.LADDER)
    return [(row["rung"], row["outcome"]) for row in rows]


def test_a_splat_that_only_knows_its_own_views_is_tried_lower_and_the_better_one_is_kept(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store)
    trainer = MoodyTrainer(trained_db=30.0, by_rung={"full": 20.5, "reduced": 22.0})
    assert run(store, instance, trainer).success
    assert ladder(store) == [("full", "worse"), ("reduced", "kept")]
    plan = plan_of(store)
    assert plan["detail"] == "reduced"
    assert plan["reasons"] == ["gates at full: not_overfitted: train_gap_db 9.5, must be at most 6"]
    assert [round(attempt["psnr_db"], 1) for attempt in plan["attempts"]] == [20.5, 22.0]


def test_a_lower_rung_that_is_worse_gives_way(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer(trained_db=30.0, by_rung={"full": 20.5, "reduced": 19.0})
    assert run(store, instance, trainer).success
    assert ladder(store) == [("full", "kept"), ("reduced", "worse")]
    plan = plan_of(store)
    assert plan["detail"] == "full"
    assert plan["reasons"] == ["a lower rung was no better: reduced gave 19.00 dB, full 20.50 dB at its size"]


def test_a_bad_result_walks_to_the_last_rung_and_one_that_diverges_there_leaves_the_best_before(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store)

    class Worse(MoodyTrainer):
        def train(self, views, points, colors, plan, **how):
            if plan.detail is Detail.PREVIEW:
                self.errors = [Diverged("loss is nan")]
            return super().train(views, points, colors, plan, **how)

    assert not run(store, instance, Worse(by_rung={"full": 9.0, "reduced": 10.0})).success
    assert ladder(store) == [("full", "worse"), ("reduced", "kept"), ("preview", "Diverged")]


def test_a_gate_that_is_lifted_neither_lowers_nor_stops_and_the_plan_says_so(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store, registered_share=0.3)
    refused = run(store, instance, MoodyTrainer())
    assert explain(refused.all_events)["class"] == "FewRegistered"
    done = run(store, instance, MoodyTrainer(), {"lift": ["registered", "registered_well"]})
    assert done.success
    plan = plan_of(store)
    assert plan["detail"] == "full"
    assert plan["reasons"] == [
        "registered: registered_share 0.3, must be at least 0.4; lifted by run config",
        "registered_well: registered_share 0.3, must be at least 0.8; lifted by run config",
    ]
    unknown = run(store, instance, MoodyTrainer(), {"lift": ["nonsense"]})
    told = explain(unknown.all_events)
    assert told["class"] == "BadJobFile"
    assert "unknown gate nonsense; known are enough_keyframes" in (told["cause"] or "")


def test_a_job_may_set_its_own_limits_and_its_type_of_scene_is_on_record(
    store: FileStore, instance: dg.DagsterInstance
):
    asked = {"gates": {"registered_well": {"indoor": 0.5}, "learned": "lift"}, "scene_type": "indoor"}
    given(store, registered_share=0.6, recipe=Recipe().overridden(asked, source="job.yaml"))
    assert run(store, instance, MoodyTrainer(psnr_db=9.0, trained_db=9.0)).success
    assert plan_of(store)["detail"] == "full"
    rows = store.rows(tables.GATES).set_index("gate")
    assert set(rows["scene_type"]) == {"indoor"}
    assert (rows.loc["learned", "passed"], rows.loc["learned", "severity"]) == (False, "WARN")
    assert rows.loc["learned", "lifted"] == "the job's settings"


def test_who_trains_is_planned_by_the_job_or_the_launchpad_and_decides_the_ladder(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store, recipe=Recipe().overridden({"training": {"trainer": "moody"}}, source="job.yaml"))
    trainer = MoodyTrainer(device="gpu")
    assert run(store, instance, trainer).success
    assert (trainer.plans[0].trainer, trainer.plans[0].iterations) == ("moody", 30_000)
    assert trainer.plans[0].options == {}
    assert plan_of(store)["trainer"] == "moody"
    told = explain(run(store, instance, trainer, {"trainer": "absent"}).all_events)
    assert told["class"] == "ToolMissing"
    assert "absent" in (told["cause"] or "")


def test_a_trainer_that_is_gone_when_its_turn_comes_is_not_replaced(store: FileStore, instance: dg.DagsterInstance):
    class GoneAfterPlanning(OnlyThis):
        def chosen(self, asked: str) -> tuple[MoodyTrainer, str]:
            found = super().chosen(asked)
            self.trainer.missing = "the GPU has been pulled out"
            return found

    given(store)
    trainer = MoodyTrainer()
    instance.add_dynamic_partitions(str(jobs.name), [JOB])
    resources = {"store": store, "machine": Tight(None), "loader": FewImages(), "trainers": GoneAfterPlanning(trainer)}
    done = dg.materialize(
        [training_plan, splat_in("gpu")],
        partition_key=JOB,
        instance=instance,
        resources=resources,
        raise_on_error=False,
    )
    assert explain(done.all_events)["cause"] == "the trainer moody cannot be used: the GPU has been pulled out"
    assert trainer.plans == []


def test_an_option_that_the_trainer_does_not_have_is_refused_before_anything_is_trained(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store, recipe=Recipe().overridden({"training": {"refine_poses": True}}, source="job.yaml"))
    told = explain(run(store, instance, MoodyTrainer()).all_events)
    assert told["class"] == "BadJobFile"
    assert told["cause"] == "training.refine_poses: the trainer moody has no such option, it has antialias"


def test_a_plan_for_the_gpu_is_made_to_fit_into_the_gpu_s_memory(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer(device="gpu", vram_bytes=200_000_000)
    assert run(store, instance, trainer, free_bytes=1).success
    assert plan_of(store)["reasons"][0].startswith("GPU memory: 1.5 GB wanted")
    assert trainer.plans[0].max_gaussians < 200_000
    assert run(store, instance, MoodyTrainer(device="gpu"), free_bytes=1).success
    assert plan_of(store)["reasons"] == []


def test_what_is_too_much_for_the_gpu_steps_down_its_own_ladder(store: FileStore, instance: dg.DagsterInstance):
    given(store)
    trainer = MoodyTrainer(device="gpu", errors=[OutOfMemory("CUDA out of memory\nline after line")])
    assert run(store, instance, trainer).success
    assert [plan.iterations for plan in trainer.plans] == [30_000, 15_000]
    assert plan_of(store)["reasons"] == ["OutOfMemory at full: CUDA out of memory"]


def test_a_job_that_wants_a_draft_first_gets_one_and_then_all_it_may_have(
    store: FileStore, instance: dg.DagsterInstance
):
    asked = {"delivery": "draft+final", "training": {"iterations": 5000}}
    given(store, recipe=Recipe().overridden(asked, source="job.yaml"))
    trainer = MoodyTrainer()
    assert run(store, instance, trainer).success
    assert run(store, instance, trainer, {"draft": False}).success
    assert [(plan.detail, plan.draft, plan.iterations) for plan in trainer.plans] == [
        (Detail.PREVIEW, True, 800),
        (Detail.FULL, False, 5000),
    ]
    assert trainer.plans[0].reasons == ("a draft: full detail follows",)


def test_what_is_a_preview_anyhow_is_no_draft(store: FileStore, instance: dg.DagsterInstance):
    asked = {"delivery": "draft+final", "detail": "preview"}
    given(store, recipe=Recipe().overridden(asked, source="job.yaml"))
    trainer = MoodyTrainer()
    assert run(store, instance, trainer).success
    assert [plan.draft for plan in trainer.plans] == [False]


def test_another_trainer_changes_no_file_s_name_and_nothing_before_the_plan(
    store: FileStore, instance: dg.DagsterInstance
):
    given(store)
    before = {name: store.fetch(JOB, name).digest for name in ("source_videos", "keyframes", "camera_poses")}
    files = []
    for trainer in (MoodyTrainer(), MoodyTrainer(name="other", device="gpu")):
        assert run(store, instance, trainer).success
        files.append(sorted(path.name for path in store.fetch(JOB, "splat").folder.iterdir()))
    assert files[0] == files[1]
    assert before == {name: store.fetch(JOB, name).digest for name in before}
