"""The cache of machine code: what it must notice, and where it lies."""

import ast
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import splat_pipeline
from splat_pipeline.splatting import kernels

PACKAGE = Path(splat_pipeline.__file__).parent
PROBE = """
from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.shares_of_probe import share

@njit(cache=True)
def whole(x):
    return share(x) + 1
"""
HELPER = """
from splat_pipeline.splatting.kernels import njit

@njit(cache=True)
def share(x):
    return x * {factor}
"""
ASK = """
from splat_pipeline.splatting.probe import whole
answer = whole(10)
stats = whole.stats
print(answer, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


class Copy:
    """A copy of the package with a kernel of its own, which calls one of another module."""

    def __init__(self, home):
        self.home, self.package = home, home / "code" / "splat_pipeline" / "splatting"
        for part in ("splatting", "domain"):
            shutil.copytree(PACKAGE / part, self.package.parent / part, ignore=shutil.ignore_patterns("__pycache__"))
        (self.package.parent / "__init__.py").touch()
        (self.package / "probe.py").write_text(PROBE)
        self.edit(2)

    def edit(self, factor):
        (self.package / "shares_of_probe.py").write_text(HELPER.format(factor=factor))

    def start(self, **settings):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        where = {"PYTHONPATH": str(self.home / "code"), "XDG_CACHE_HOME": str(self.home / "user"), **settings}
        command = [sys.executable, "-c", ASK]
        return subprocess.Popen(
            command, env={**kept, **where}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.home
        )

    def ask(self, **settings):
        """Return (answer, kernels loaded, kernels compiled) of a new process."""
        out, errors = self.start(**settings).communicate(timeout=120)
        assert out, errors
        return tuple(map(int, out.split()))


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def test_an_edit_of_a_helper_module_is_seen_and_undoing_it_finds_the_old_code(copy):
    assert copy.ask() == (21, 0, 1)
    assert copy.ask() == (21, 1, 0)
    copy.edit(3)
    assert copy.ask() == (31, 0, 1)
    copy.edit(2)
    assert copy.ask() == (21, 1, 0)


def test_an_edit_of_a_module_that_a_kernel_is_not_made_of_costs_nothing(copy):
    copy.ask()
    path = copy.package / "train.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    assert copy.ask() == (21, 1, 0)


def test_every_processor_has_code_of_its_own(copy):
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert copy.ask() == (21, 0, 1)
    assert copy.ask(**generic) == (21, 0, 1)
    assert copy.ask(**generic) == (21, 1, 0)
    assert copy.ask() == (21, 1, 0)


def test_a_setting_that_changes_code_has_code_of_its_own(copy):
    copy.ask()
    assert copy.ask(NUMBA_BOUNDSCHECK="1") == (21, 0, 1)


def test_a_package_that_cannot_be_written_uses_the_user_s_folder_and_still_reads_its_own(copy):
    own, user = copy.package / "__pycache__" / "kernels", copy.home / "user" / "splat_pipeline" / "kernels"
    own.parent.mkdir()
    own.write_text("a file where a folder should be: root may write into read-only folders")
    assert copy.ask() == (21, 0, 1)
    assert copy.ask() == (21, 1, 0)
    assert sorted(path.name.split("-")[0] for path in user.iterdir()) == ["probe", "shares_of_probe"]
    own.unlink()
    user.rename(own)
    assert copy.ask() == (21, 1, 0)
    assert not user.exists()


def test_numba_s_own_setting_of_the_folder_is_obeyed(copy, tmp_path):
    assert copy.ask(NUMBA_CACHE_DIR=str(tmp_path / "there")) == (21, 0, 1)
    assert copy.ask(NUMBA_CACHE_DIR=str(tmp_path / "there")) == (21, 1, 0)
    assert len(list((tmp_path / "there" / "splat_pipeline").glob("probe-*/*.nbc"))) == 1


def test_where_nothing_can_be_written_kernels_work_and_it_is_said_why(copy):
    (copy.home / "user").touch()
    (copy.package / "__pycache__").mkdir()
    (copy.package / "__pycache__" / "kernels").touch()
    answer, errors = copy.start().communicate(timeout=120)
    assert answer.split()[0] == "21"
    assert errors.count("compiled kernels cannot be kept") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in errors


def test_processes_that_begin_at_once_share_one_folder(copy):
    racing = [copy.start() for _ in range(3)]
    assert {process.communicate(timeout=120)[0].split()[0] for process in racing} == {"21"}
    assert copy.ask() == (21, 1, 0)


def test_a_file_that_a_crash_left_empty_is_compiled_again(copy):
    copy.ask()
    (empty,) = (copy.package / "__pycache__" / "kernels").glob("probe-*/*.nbc")
    empty.write_bytes(b"")
    assert copy.ask() == (21, 0, 1)
    assert copy.ask() == (21, 1, 0)


def test_code_that_nobody_has_used_for_long_is_removed_when_other_code_is_made(copy):
    copy.ask()
    kept = copy.package / "__pycache__" / "kernels"
    (old,) = kept.glob("probe-*")
    long_ago = time.time() - kernels.KEEP_S - 60
    os.utime(old, (long_ago, long_ago))
    assert copy.ask() == (21, 1, 0), "what is used is marked as used"
    assert time.time() - old.stat().st_mtime < 3600
    os.utime(old, (long_ago, long_ago))
    (kept / "notes").mkdir()
    os.utime(kept / "notes", (long_ago, long_ago))
    copy.edit(3)
    copy.ask()
    assert not old.exists()
    assert len(list(kept.glob("probe-*"))) == 1
    assert (kept / "notes").exists(), "only what looks like ours is removed"


def test_a_process_that_outlives_an_update_keeps_nothing(monkeypatch):
    file = kernels.HERE / "tiles.py"
    assert kernels.is_known(file)
    older = {path: (0, 0) if path.stem == "lanes" else stamp for path, stamp in kernels.stamps().items()}
    monkeypatch.setattr(kernels, "stamps", lambda: older)
    assert not kernels.is_known(file)
    assert kernels.is_known(kernels.HERE / "shares.py"), "it is not made of lanes.py"


@pytest.mark.parametrize("path", sorted(kernels.HERE.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_module_is_made_of_holds_all_that_python_s_own_grammar_says_it_imports(path):
    found = set(kernels.made_of(path))
    for file in found:
        for node in ast.walk(ast.parse(file.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            origin = (getattr(node, "module", None) or "") if names else ""
            for dotted in {origin, *(f"{origin}.{name}".strip(".") for name in names)}:
                parts = dotted.split(".")
                if parts[:2] in (["splat_pipeline", "splatting"], ["splat_pipeline", "domain"]):
                    wanted = PACKAGE.joinpath(*parts[1:]).with_suffix(".py")
                    assert wanted in found or not wanted.exists()


def test_all_kernels_of_the_package_are_kept_in_this_way():
    code = """
import pkgutil, importlib
from numba.core.dispatcher import Dispatcher
from splat_pipeline import splatting
from splat_pipeline.splatting.kernels import KernelCache
found = 0
for part in pkgutil.iter_modules(splatting.__path__):
    module = importlib.import_module(f"splat_pipeline.splatting.{part.name}")
    for name, value in vars(module).items():
        if isinstance(value, Dispatcher):
            assert isinstance(value._cache, KernelCache), (part.name, name)
            found += 1
print(found)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) > 50
