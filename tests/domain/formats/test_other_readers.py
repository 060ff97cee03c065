"""Readers and writers of others, from PyPI, find in our files what we put there: gsply (MIT) and ply2splat (MIT)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import some_gaussians

from splat_pipeline.domain.formats.compressed_ply import by_place, write_compressed_ply
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.formats.splat import by_importance, read_splat, write_splat
from splat_pipeline.domain.formats.spz import write_spz
from splat_pipeline.domain.gaussians import Gaussians


@pytest.fixture
def gsply() -> Any:
    return pytest.importorskip("gsply", reason="gsply is not installed: NO SECOND READER of PLY and spz")


@pytest.fixture
def ply2splat() -> Any:
    return pytest.importorskip("ply2splat", reason="ply2splat is not installed: NO SECOND READER of .splat")


def mild(n: int = 500, degree: int = 3) -> Gaussians:
    g = some_gaussians(n, degree, 3)
    g.sh[:] = np.clip(g.sh * 0.25, -0.9, 0.9)
    return replace(g, means=g.means * np.float32(0.3))


@pytest.mark.parametrize("degree", [1, 3])
def test_gsply_reads_our_ply_to_the_bit_and_we_read_its_own(degree: int, gsply: Any, tmp_path: Path) -> None:
    g = mild(degree=degree)
    write_ply(tmp_path / "ours.ply", g)
    seen = gsply.plyread(tmp_path / "ours.ply")
    for ours, theirs in (
        (g.means, seen.means),
        (g.log_scales, seen.scales),
        (g.quats, seen.quats),
        (g.logit_opacities, seen.opacities.ravel()),
        (g.sh[:, 0], seen.sh0),
        (g.sh[:, 1:], seen.shN),
    ):
        np.testing.assert_array_equal(theirs, ours)
    gsply.plywrite(tmp_path / "theirs.ply", seen)
    back = read_ply(tmp_path / "theirs.ply")
    np.testing.assert_array_equal(back.means, g.means)
    np.testing.assert_array_equal(back.sh, g.sh)


def test_gsply_reads_our_compressed_ply(gsply: Any, tmp_path: Path) -> None:
    g = mild()
    write_compressed_ply(tmp_path / "ours.compressed.ply", g)
    seen, want = gsply.plyread(tmp_path / "ours.compressed.ply"), g.take(by_place(g))
    np.testing.assert_allclose(seen.means, want.means, atol=0.1)
    np.testing.assert_allclose(seen.scales, want.log_scales, atol=0.01)
    np.testing.assert_allclose(np.abs((seen.quats * want.quats).sum(axis=1)), 1, atol=1e-5)
    np.testing.assert_allclose(seen.shN, want.sh[:, 1:], atol=1 / 60)


def test_gsply_reads_our_spz_in_the_axes_of_the_file(gsply: Any, tmp_path: Path) -> None:
    g = mild()
    write_spz(tmp_path / "ours.spz", g)
    seen = gsply.read_spz(tmp_path / "ours.spz")
    np.testing.assert_allclose(seen.means * [1, -1, -1], g.means, atol=2**-9)  # y up, z backward: it turns nothing
    np.testing.assert_allclose(seen.scales, g.log_scales, atol=1 / 32 + 1e-6)
    np.testing.assert_allclose(seen.sh0, g.sh[:, 0], atol=0.02)


def test_ply2splat_reads_our_splat_and_makes_the_same_of_our_ply(ply2splat: Any, tmp_path: Path) -> None:
    g = mild(degree=0)
    write_splat(tmp_path / "ours.splat", g)
    write_ply(tmp_path / "g.ply", g)
    rows = ply2splat.load_splat_file(str(tmp_path / "ours.splat")).to_list()
    want = g.take(by_importance(g))
    np.testing.assert_array_equal([row.position for row in rows], want.means)
    np.testing.assert_allclose([row.scale for row in rows], np.exp(want.log_scales), rtol=1e-6)
    np.testing.assert_allclose([row.color[3] / 255 for row in rows], want.opacities, atol=0.51 / 255)
    ply2splat.convert(str(tmp_path / "g.ply"), str(tmp_path / "theirs.splat"), sort=False)
    theirs = read_splat(tmp_path / "theirs.splat")
    np.testing.assert_allclose(theirs.means, g.means, rtol=1e-6)
