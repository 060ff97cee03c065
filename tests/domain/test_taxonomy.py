"""Every class of failure has a stable name, can be reached, is provoked by a test, and tells two people what to do."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from splat_pipeline.domain import errors
from splat_pipeline.domain.error_root import SplatError
from splat_pipeline.domain.taxonomy import BY_CODE, CLASSES, class_of, named, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failures.md"
TOLD = {"error_root", "errors", "input_errors", "failure_classes", "taxonomy"}
"""Modules that name errors without ending anything by them."""
WEAK = "tests/domain/test_frames.py::test_weak_footage_is_refused_by_name"
BLAMED = "tests/domain/test_blame.py::test_the_attempts_tell_why_there_is_no_model"
BACKENDS, STORES = "tests/resources/test_external_poses.py", "tests/resources/test_stores.py"
PROVOKED = {
    "unreadable": "tests/test_cli.py::test_a_file_that_is_no_video_is_named_with_cause_and_remedy",
    "empty-upload": "tests/test_cli.py::test_an_empty_folder_and_a_missing_one_are_the_callers_fault",
    "unsafe-upload": "tests/assets/test_intake_and_frames.py::test_a_zip_that_is_refused_fails_at_the_door",
    "bad-settings": "tests/assets/test_jobfile.py::test_a_job_file_cannot_do_harm",
    "bad-poses": "tests/assets/test_given.py::test_poses_of_a_backend_that_errs_much_end_the_job",
    "bad-calibration": "tests/assets/test_known.py::test_a_rig_that_contradicts_the_images_is_refused_with_its_error",
    "too-short": WEAK,
    "too-long": "tests/resources/test_guarded.py::test_a_clip_that_takes_for_ever_is_given_up",
    "too-small": "tests/resources/test_photos.py::test_a_set_of_small_photos_is_too_small",
    "too-dark": WEAK,
    "blurred": WEAK,
    "static-camera": WEAK,
    "rotation-only": WEAK,
    "low-texture": WEAK,
    "dynamic": WEAK,
    "weak-footage": "tests/assets/test_intake_and_frames.py::test_a_file_that_grew_since_is_refused",
    "low-overlap": BLAMED,
    "planar": BLAMED,
    "few-registered": "tests/assets/test_failures.py::test_a_blocking_gate_that_failed_explains_the_run",
    "several-parts": "tests/domain/metrics/test_poses.py::test_parts_that_share_no_points_are_counted",
    "drift": "tests/domain/metrics/test_consistency.py::test_wrong_poses_are_stopped_by_matches_that_no_adjustment_saw",
    "no-model": BLAMED,
    "bad-poses-found": "tests/assets/test_failures.py::test_a_gate_has_the_class_of_its_row",
    "diverged": "tests/assets/test_splats.py::test_below_the_last_rung_the_job_fails_with_the_last_error",
    "untrained": "tests/assets/test_splats.py::test_a_splat_that_resembles_nothing_is_stopped_by_its_gate",
    "out-of-memory": "tests/assets/test_failures.py::test_running_out_of_memory_has_a_class",
    "disk-full": "tests/resources/test_archives.py::test_too_little_space_is_told_before_it_is_used",
    "store-unavailable": "tests/test_cli.py::test_a_home_that_cannot_be_made_is_told_with_the_setting_to_change",
    "process-killed": "tests/assets/test_failures.py::test_a_run_whose_process_was_killed_says_so",
    "time-out": f"{BACKENDS}::test_a_program_that_hangs_is_killed_with_its_children",
    "gpu-lost": "tests/resources/gpu/test_train.py::test_what_the_device_says_is_told_apart",
    "webhook": "tests/resources/test_webhooks.py::test_the_budget_ends_the_attempts",
    "tool-missing": "tests/resources/test_sandbox.py::test_a_program_that_is_not_there_is_missing",
    "tool-crashed": "tests/resources/test_sandbox.py::test_the_last_200_lines_and_the_exit_code_are_in_the_error",
    "bad-answer": f"{BACKENDS}::test_an_answer_that_breaks_the_contract_is_refused_with_its_fault",
    "damaged-artifact": f"{STORES}::test_a_damaged_file_is_found_on_reading_and_healed_by_publishing_again",
    "cancelled": "tests/domain/test_alike.py::test_who_ended_a_run_is_not_an_internal_error",
    "internal": "tests/assets/test_failures.py::test_an_unexpected_error_is_told_as_internal_and_not_hidden",
}
"""A test for each class of failure in which it happens."""


def kinds() -> list[type[SplatError]]:
    found = [SplatError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in dict.fromkeys(found) if kind.__module__.startswith("splat_pipeline")]


class Uses(ast.NodeVisitor):
    """Names that a module uses other than to catch, to ask for a type, or to annotate."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.names.add(node.attr)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if getattr(node.func, "id", "") not in {"isinstance", "issubclass"}:
            self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        for line in node.body:
            self.visit(line)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *node.body):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for line in node.body:
            self.visit(line)


@cache
def modules() -> dict[str, ast.Module]:
    paths = [path for top in ("splat_pipeline", "resources", "sensors") for path in (ROOT / top).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text()) for path in paths}


def imported(tree: ast.Module) -> set[str]:
    """Modules that a module imports, wherever in it, or names in a string: entry points, child processes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value.split(":", maxsplit=1)[0])
    return found & set(modules())


@cache
def reachable() -> set[str]:
    """Modules that the command, the code location or a child process ever imports.

    Pose backends of other distributions, found by entry point, are made of ``resources.external_poses``; what posts to
    webhooks is chosen by the settings; trainers are rows of a table.
    """
    programs = {name for name, tree in modules().items() if "__main__" in ast.unparse(tree)}
    todo = [
        "splat_pipeline.cli",
        "splat_pipeline.definitions",
        "resources.external_poses",
        "resources.webhooks",
        *programs,
    ]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += imported(modules()[name])
    return found


@cache
def users() -> dict[str, set[str]]:
    """By name of an error, the reachable modules that use it."""
    found = defaultdict(set)
    for module in reachable():
        if module.rsplit(".", maxsplit=1)[-1] not in TOLD:
            uses = Uses()
            uses.visit(modules()[module])
            for name in uses.names:
                found[name].add(module)
    return found


def test_an_error_that_is_only_caught_or_annotated_does_not_count_as_used():
    uses = Uses()
    uses.visit(ast.parse("def f(e: A) -> B:\n try:\n  isinstance(e, C)\n except D:\n  raise E('x')\nx: F = g(kind=G)"))
    assert uses.names & set("ABCDEFG") == {"E", "G"}


@pytest.mark.parametrize("code", [code for code, each in BY_CODE.items() if each.errors])
def test_no_class_of_failure_is_unreachable(code: str):
    own = [kind for kind in kinds() if class_of(kind).code == code]
    assert any(users()[kind.__name__] for kind in own), f"nothing that runs raises one of {own}"


@pytest.mark.parametrize("kind", kinds())
def test_no_error_is_unreachable(kind: type[SplatError]):
    below = [kind, *(each for each in kinds() if issubclass(each, kind))]
    assert any(users()[each.__name__] for each in below), f"nothing that runs raises {kind.__name__}"


def test_each_class_of_failure_is_provoked_by_a_test():
    assert set(PROVOKED) == set(BY_CODE)
    for code, where in PROVOKED.items():
        path, name = where.split("::")
        text = (ROOT / path).read_text()
        lines = [line for line in text.splitlines() if not line.startswith(("from ", "import "))]
        names = [kind.__name__ for kind in kinds() if class_of(kind).code == code] or ["KeyboardInterrupt"]
        assert f"def {name}(" in text, where
        assert any(name in line for name in names for line in lines), f"{path} says nothing of {names}"


def test_identifiers_are_stable():
    assert sorted(BY_CODE) == sorted(PROVOKED)
    assert len(BY_CODE) == len(CLASSES)
    assert all(code == code.lower() and " " not in code for code in BY_CODE)


@pytest.mark.parametrize("code", BY_CODE)
def test_each_class_tells_its_evidence_and_what_two_people_can_do(code: str):
    each = BY_CODE[code]
    for text in (each.evidence, each.person, each.operator):
        assert text.strip().endswith("."), text
        assert "|" not in text, "it stands in a table"


def test_every_error_has_one_class_and_an_unknown_one_is_internal():
    assert class_of(errors.NoVideoStream).code == "unreadable"
    assert class_of(errors.LowOverlap).code == "low-overlap"
    assert class_of(MemoryError).code == "out-of-memory"
    assert class_of(ZeroDivisionError).code == named("Nonsense").code == named(None).code == "internal"
    assert named("TooDark").code == "too-dark"
    assert sum(len(each.errors) for each in CLASSES) == len({kind for each in CLASSES for kind in each.errors})


def test_the_page_of_failures_is_what_the_code_says():
    text = PAGE.read_text()
    start, stop = text.index("| identifier |"), text.rindex("|\n") + 1
    wanted = text[:start] + page() + text[stop:]
    if os.environ.get("SPLAT_WRITE_README"):
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "run make readme"
