"""PLY and .splat: round trips on random content, bytes checked by hand, an independent reader, forged files."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import some_gaussians
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plyfile import PlyData

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.exports import export, require_finite
from splat_pipeline.domain.formats.ply import property_names, read_ply, write_ply
from splat_pipeline.domain.formats.splat import RECORD, by_importance, read_splat, write_splat
from splat_pipeline.domain.gaussians import SH_C0, Gaussians

ATTRIBUTES = ("means", "quats", "log_scales", "logit_opacities", "sh")
laws = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@laws
@given(n=st.integers(0, 40), degree=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_what_a_ply_gives_back_has_the_bits_that_were_written(tmp_path: Path, n: int, degree: int, seed: int) -> None:
    want = some_gaussians(n, degree, seed)
    write_ply(tmp_path / "g.ply", want, comments=["detail full"])
    got = read_ply(tmp_path / "g.ply")
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)


def test_a_ply_says_whether_gaussians_are_antialiased_and_other_programs_words_for_it_are_read(tmp_path: Path) -> None:
    g = some_gaussians(3, 1, 2)
    write_ply(tmp_path / "plain.ply", g)
    write_ply(tmp_path / "mip.ply", replace(g, antialiased=True))
    write_ply(tmp_path / "other.ply", g, comments=["antialiased 1"])
    assert [read_ply(tmp_path / f"{n}.ply").antialiased for n in ("plain", "mip", "other")] == [False, True, True]
    assert PlyData.read(tmp_path / "mip.ply").comments == ["SplatRenderMode: mip"]
    assert g.take(np.arange(2)).antialiased is False
    assert replace(g, antialiased=True).take(np.arange(2)).antialiased


def test_a_ply_says_what_the_gaussians_are_seen_against_and_a_splat_notes_that_it_cannot(tmp_path: Path) -> None:
    g = replace(some_gaussians(3, 0, 2), background=(1.0, 0.25, 0.000001))
    write_ply(tmp_path / "g.ply", g)
    assert PlyData.read(tmp_path / "g.ply").comments == ["Background: 1.000000 0.250000 0.000001"]
    assert read_ply(tmp_path / "g.ply").background == g.background
    rows = export(g, tmp_path, stem="m", formats=("ply", "splat"))
    assert [row["lost"] for row in rows] == [None, "the background (1, 0.25, 1e-06)"]
    write_ply(tmp_path / "g.ply", some_gaussians(3, 0, 2), comments=["Background: sky"])
    assert read_ply(tmp_path / "g.ply").background == (0, 0, 0)


def test_an_independent_reader_finds_every_value_in_its_place(tmp_path: Path) -> None:
    g = some_gaussians(5, 2, 1)
    write_ply(tmp_path / "g.ply", g, comments=["detail reduced"])
    ply = PlyData.read(tmp_path / "g.ply")
    vertex = ply["vertex"]
    assert ply.comments == ["detail reduced"]
    assert [p.name for p in vertex.properties] == property_names(2)
    np.testing.assert_array_equal(vertex["y"], g.means[:, 1])
    np.testing.assert_array_equal(vertex["ny"], 0)
    np.testing.assert_array_equal(vertex["f_dc_2"], g.sh[:, 0, 2])
    np.testing.assert_array_equal(vertex["f_rest_1"], g.sh[:, 2, 0])  # red of the second coefficient above degree 0
    np.testing.assert_array_equal(vertex["f_rest_8"], g.sh[:, 1, 1])  # green of the first: all 8 reds come before
    np.testing.assert_array_equal(vertex["opacity"], g.logit_opacities)
    np.testing.assert_array_equal(vertex["scale_2"], g.log_scales[:, 2])
    np.testing.assert_array_equal(vertex["rot_0"], g.quats[:, 0])


def test_a_ply_is_read_in_the_order_of_its_own_header(tmp_path: Path) -> None:
    names = list(reversed(property_names(0)[:3] + property_names(0)[6:]))
    header = "ply\nformat binary_little_endian 1.0\ncomment x\nelement vertex 1\n"
    header += "".join(f"property {'double' if name == 'x' else 'float'} {name}\n" for name in names) + "end_header\n"
    values = [1.0 if name == "rot_0" else float(i) / 8 for i, name in enumerate(names)]
    kinds = "".join("d" if name == "x" else "f" for name in names)
    (tmp_path / "g.ply").write_bytes(header.encode() + struct.pack(f"<{kinds}", *values))
    got, at = read_ply(tmp_path / "g.ply"), dict(zip(names, values, strict=True))
    np.testing.assert_allclose(got.means[0], [at["x"], at["y"], at["z"]])
    assert got.logit_opacities[0] == at["opacity"]
    assert np.linalg.norm(got.quats[0]) == pytest.approx(1)


BINARY = b"format binary_little_endian 1.0\n"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"format ascii 1.0\n", "binary_little_endian"),
        (b"", "binary_little_endian"),
        (BINARY, "no element"),
        (BINARY + b"element vertex -1\n", "no plain property"),
        (BINARY + b"element vertex 1\nproperty list uchar int a\n", "plain"),
        (BINARY + b"element vertex 0\nproperty float x\nproperty float x\n", "different names"),
        (BINARY + b"element vertex 0\nproperty float x\n", "property y is missing"),
        (BINARY + b"element face 0\nproperty float x\n", "only element must be vertex"),
        (BINARY + b"element vertex 99999999999999\nproperty float x\n", "bytes"),
    ],
)
def test_a_forged_header_is_refused_before_memory_is_taken(tmp_path: Path, lines: bytes, why: str) -> None:
    (tmp_path / "forged.ply").write_bytes(b"ply\n" + lines + b"end_header\n")
    with pytest.raises(CorruptArtifact, match=why) as caught:
        read_ply(tmp_path / "forged.ply")
    assert caught.value.file == "forged.ply"


@pytest.mark.parametrize("content", [b"", b"ply\n", b"ply\n" + b"comment x\n" * 100_000, b"PK\x03\x04end_header\n"])
def test_a_file_that_is_no_ply_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "forged.ply").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="no PLY header"):
        read_ply(tmp_path / "forged.ply")


@pytest.mark.parametrize("change", [-1, 1, 248])
def test_a_ply_that_is_cut_off_or_too_long_is_refused(tmp_path: Path, change: int) -> None:
    write_ply(tmp_path / "g.ply", some_gaussians(9, 3, 0))
    content = (tmp_path / "g.ply").read_bytes()
    (tmp_path / "g.ply").write_bytes(content[:change] if change < 0 else content + b"\0" * change)
    with pytest.raises(CorruptArtifact, match="speaks of 9 of vertex"):
        read_ply(tmp_path / "g.ply")


def test_a_comment_cannot_smuggle_a_line_into_the_header(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="printable"):
        write_ply(tmp_path / "g.ply", some_gaussians(1, 0, 0), comments=["a\nelement vertex 5"])


def test_the_32_bytes_of_a_splat_are_the_ones_worked_out_by_hand(tmp_path: Path) -> None:
    one = Gaussians(
        means=np.array([[1, -2, 0.5]], np.float32),
        quats=np.array([[0.5, -0.5, 0.5, -0.5]], np.float32),
        log_scales=np.log(np.array([[1, 2, 4]], np.float32)),
        logit_opacities=np.zeros(1, np.float32),
        sh=np.array([[[0.5 / SH_C0, 0, -9]]], np.float32),
    )
    write_splat(tmp_path / "g.splat", one)
    want = struct.pack("<6f", 1, -2, 0.5, 1, 2, 4) + bytes([255, 128, 0, 128, 192, 64, 192, 64])
    assert (tmp_path / "g.splat").read_bytes() == want


@laws
@given(n=st.integers(0, 40), seed=st.integers(0, 2**32 - 1))
def test_a_splat_gives_back_what_its_bits_can_hold(tmp_path: Path, n: int, seed: int) -> None:
    source = some_gaussians(n, 1, seed)
    write_splat(tmp_path / "g.splat", source)
    want, got = source.take(by_importance(source)), read_splat(tmp_path / "g.splat")
    np.testing.assert_array_equal(got.means, want.means)
    np.testing.assert_allclose(got.log_scales, want.log_scales, atol=1e-5)
    np.testing.assert_allclose(got.opacities, want.opacities, atol=0.51 / 255)
    colors = np.clip(0.5 + SH_C0 * want.sh[:, 0], 0, 1)
    np.testing.assert_allclose(0.5 + SH_C0 * got.sh[:, 0], colors, atol=0.51 / 255)
    assert (np.abs((got.quats * want.quats).sum(axis=1)) > np.cos(np.radians(1.0))).all()


def test_the_most_important_gaussian_comes_first(tmp_path: Path) -> None:
    g = some_gaussians(200, 0, 3)
    importance = g.opacities[by_importance(g)] * np.exp(g.log_scales.sum(axis=1))[by_importance(g)]
    assert (np.diff(importance) <= importance[:-1] * 1e-5).all()
    write_splat(tmp_path / "g.splat", g)
    assert read_splat(tmp_path / "g.splat").means[0].tolist() == g.means[by_importance(g)[0]].tolist()


def test_a_splat_of_a_broken_length_or_without_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.splat").write_bytes(b"\0" * 33)
    with pytest.raises(CorruptArtifact, match="no multiple of 32"):
        read_splat(tmp_path / "g.splat")
    row = np.zeros(1, RECORD)
    row["xyz"] = np.nan
    row.tofile(tmp_path / "g.splat")
    with pytest.raises(CorruptArtifact, match="finite"):
        read_splat(tmp_path / "g.splat")


def test_exports_hold_what_went_in_and_refuse_what_is_no_number(tmp_path: Path) -> None:
    g = some_gaussians(30, 3, 5)
    rows = export(g, tmp_path, stem="model-1", formats=("ply", "splat"), compare=lambda got: float(len(got)))
    assert [row["file"] for row in rows] == ["model-1.ply", "model-1.splat"]
    assert all(row["gaussians"] == row["psnr_db"] == 30 and row["max_error"] == 0 for row in rows)
    assert {row["format"]: row["lost"] for row in rows} == {"ply": None, "splat": "harmonics above degree 0"}
    row = export(replace(g, antialiased=True), tmp_path, stem="mip", formats=["splat"])[0]
    assert row["lost"] == "harmonics above degree 0; that opacities are meant for an antialiased renderer"
    g.sh[3, 2, 1] = np.inf
    with pytest.raises(CorruptArtifact, match="1 values of sh"):
        require_finite(g)
