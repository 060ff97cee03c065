"""What of the launchpad's words a replay says again."""

from __future__ import annotations

from splat_pipeline.replay import asked_again

SNAPSHOT = {
    "asked": {
        "source_videos": {"recipe": {"seed": 3}},
        "training_plan": {"detail": "preview", "lift": ["learned"]},
        "cleaned": {"keep_all": True, "crop": 2.0},
    }
}
STAGES = ["source_videos", "training_plan", "cleaned"]


def test_every_stage_that_is_computed_again_is_asked_the_same_the_first_by_its_recipe() -> None:
    assert asked_again(SNAPSHOT, STAGES, {}) == {
        "training_plan": {"config": {"detail": "preview", "lift": ["learned"]}},
        "cleaned": {"config": {"keep_all": True, "crop": 2.0}},
    }
    assert list(asked_again(SNAPSHOT, ["cleaned"], {})) == ["cleaned"]
    assert asked_again({}, STAGES, {}) == {}


def test_what_is_set_now_counts_more_than_what_the_launchpad_said_then() -> None:
    changes = {"detail": "full", "exports": {"keep_all": False, "formats": ["ply"]}}
    assert asked_again(SNAPSHOT, STAGES, changes) == {
        "training_plan": {"config": {"lift": ["learned"]}},
        "cleaned": {"config": {"crop": 2.0}},
    }
    assert "cleaned" not in asked_again(SNAPSHOT, STAGES, {"exports": {"keep_all": False, "crop": 3}})
