"""spz, compressed PLY and glTF: what comes back is what went in, to the steps of each; forged files are refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from clouds import some_gaussians
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splat_pipeline.domain.errors import CorruptArtifact, InputError
from splat_pipeline.domain.formats.axes import half_turned
from splat_pipeline.domain.formats.facts import facts_of
from splat_pipeline.domain.formats.files import FORMATS, format_of_content, format_of_name, read_gaussians
from splat_pipeline.domain.formats.ply import read_ply, write_ply
from splat_pipeline.domain.formats.spz import write_spz
from splat_pipeline.domain.gaussians import Gaussians

laws = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ATTRIBUTES = ("means", "quats", "log_scales", "opacities", "dc", "rest")
STEPS = {
    "spz": dict(zip(ATTRIBUTES, (2**-9, 0.0021, 1 / 32, 1 / 500, 0.5 / 255 / 0.15, 8.5 / 128), strict=True)),
    "compressed_ply": dict(zip(ATTRIBUTES, (0.1, 0.0021, 0.006, 1 / 500, 0.02, 1 / 60), strict=True)),
    "sog": dict(zip(ATTRIBUTES, (0.02, 0.009, 0.09, 1 / 500, 0.015, 0.015), strict=True)),
    "glb": dict(zip(ATTRIBUTES, (0, 1e-6, 1e-5, 2e-6, 0, 0), strict=True)),
    "splat": dict(zip(ATTRIBUTES, (1e-6, 0.02, 1e-5, 0.003, 0.008, 0), strict=True)),
}
STEPS["spz4"] = STEPS["spz"]
"""Largest differences that the steps of a format explain, of Gaussians as ``mild`` makes them. Of a quaternion: where
all four are alike, the largest, which is not stored, is off by as much as the three others together."""


def mild(n: int, degree: int, seed: int) -> Gaussians:
    """Return Gaussians within 100 units of the origin, with harmonics that small formats can hold."""
    g = some_gaussians(n, degree, seed)
    g.sh[:] = np.clip(g.sh * 0.25, -0.9, 0.9)
    return replace(g, means=g.means * np.float32(0.3))


def differences(want: Gaussians, got: Gaussians) -> dict[str, float]:
    """Return the largest difference of each attribute; q and -q are one rotation."""
    sign = np.where((want.quats * got.quats).sum(axis=1, keepdims=True) < 0, -1, 1)
    pairs = {
        "means": (want.means, got.means),
        "quats": (want.quats, got.quats * sign),
        "log_scales": (want.log_scales, got.log_scales),
        "opacities": (want.opacities, got.opacities),
        "dc": (want.sh[:, 0], got.sh[:, 0]),
        "rest": (want.sh[:, 1:], got.sh[:, 1:]),
    }
    return {name: float(np.abs(a - b).max(initial=0)) for name, (a, b) in pairs.items()}


@pytest.mark.parametrize("name", ["spz", "spz4", "compressed_ply", "glb", "sog"])
@laws
@given(n=st.integers(0, 600), degree=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_what_comes_back_differs_by_the_steps_of_the_format(
    tmp_path: Path, name: str, n: int, degree: int, seed: int
) -> None:
    g, kind = mild(n, degree, seed), FORMATS[name]
    path = tmp_path / f"g{kind.suffix}"
    kind.write(path, g)
    assert format_of_content(path) == format_of_name(path) == name
    got, want = kind.read(path), g.take(kind.order(g))
    assert got.sh_degree == degree
    assert len(got) == n
    for attribute, difference in differences(want, got).items():
        assert difference <= STEPS[name][attribute] * 1.001, attribute


def test_a_file_that_was_read_and_written_again_is_the_same(tmp_path: Path) -> None:
    for name in ("spz", "glb"):
        kind = FORMATS[name]
        first, second = tmp_path / f"a{kind.suffix}", tmp_path / f"b{kind.suffix}"
        kind.write(first, mild(500, 3, 1))
        kind.write(second, kind.read(first))
        once, twice = kind.read(first), kind.read(second)
        assert max(differences(once, twice).values()) < 1e-6


def polynomials(x, y, z) -> np.ndarray:
    """Return (N, 16) what the harmonics are in x, y and z, but for constants: INRIA's order."""
    xx, yy, zz = x * x, y * y, z * z
    rows = [x**0, y, z, x, x * y, y * z, 2 * zz - xx - yy, x * z, xx - yy]
    rows += [y * (3 * xx - yy), x * y * z, y * (4 * zz - xx - yy), z * (2 * zz - 3 * xx - 3 * yy)]
    rows += [x * (4 * zz - xx - yy), z * (xx - yy), x * (xx - 3 * yy)]
    return np.stack(rows, axis=1)


def test_the_half_turn_turns_colours_with_places() -> None:
    g = some_gaussians(50, 3, 4)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    turned = half_turned(g)
    before = np.einsum("nk,nkc->nc", polynomials(*directions.T), g.sh)
    after = np.einsum("nk,nkc->nc", polynomials(*(directions * [1, -1, -1]).T), turned.sh)
    np.testing.assert_allclose(after, before, atol=1e-5)
    back = half_turned(turned)
    assert max(differences(g, back).values()) == 0


def test_an_spz_says_whether_it_is_antialiased_and_refuses_what_is_too_far_out(tmp_path: Path) -> None:
    g = mild(5, 0, 0)
    for antialiased in (False, True):
        write_spz(tmp_path / "g.spz", replace(g, antialiased=antialiased))
        assert read_gaussians(tmp_path / "g.spz").antialiased is antialiased
    far = replace(g, means=g.means * np.float32(1e7))
    with pytest.raises(ValueError, match="units from the origin"):
        write_spz(tmp_path / "g.spz", far)


def test_an_spz_of_version_2_is_read(tmp_path: Path) -> None:
    head = struct.pack("<4sIIBBBB", b"NGSP", 2, 1, 0, 12, 0, 0)
    place = b"".join(int(value * 4096).to_bytes(3, "little", signed=True) for value in (1, -2, 3.5))
    body = place + bytes([255]) + bytes([128, 255, 0]) + bytes([160, 176, 144]) + bytes([255, 127, 127])
    (tmp_path / "g.spz").write_bytes(gzip.compress(head + body))
    g = read_gaussians(tmp_path / "g.spz")
    np.testing.assert_allclose(g.means, [[1, 2, -3.5]])
    np.testing.assert_allclose(g.log_scales, [[0, 1, -1]])
    np.testing.assert_allclose(np.abs(g.quats), [[0, 1, 0, 0]], atol=0.01)
    assert g.opacities[0] > 0.99


FLOATS = {"bufferView": 0, "count": 1, "type": "VEC3", "componentType": 5126}
FORGED: dict[str, Callable[[], bytes]] = {
    "billions.spz": lambda: gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 0xFFFFFFFF, 3, 12, 0, 0)),
    "bomb.spz": lambda: gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, 12, 0, 0) + bytes(1 << 26)),
    "version.spz": lambda: gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 9, 1, 0, 12, 0, 0)),
    "cut.spz": lambda: gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 1, 0, 12, 0, 0) + bytes(20))[:-9],
    "no.spz": lambda: gzip.compress(b"hello, this is no splat at all"),
    "billions.v4.spz": lambda: spz4(count=0xFFFFFFFF),
    "bomb.v4.spz": lambda: spz4(stream=bytes(1 << 26)),
    "short.v4.spz": lambda: spz4(stream=bytes(5)),
    "garbage.v4.spz": lambda: spz4(stream=bytes(9))[:-4] + b"abcd",
    "streams.v4.spz": lambda: spz4(streams=200),
    "table.v4.spz": lambda: spz4(table=1 << 30),
    "version.v4.spz": lambda: spz4(version=5),
    "cut.v4.spz": lambda: spz4()[:20],
    "billions.compressed.ply": lambda: (
        b"ply\nformat binary_little_endian 1.0\nelement chunk 9999999\nproperty float min_x\n"
        b"element vertex 2559999744\nproperty uint packed_position\nend_header\n"
    ),
    "columns.compressed.ply": lambda: (
        b"ply\nformat binary_little_endian 1.0\nelement chunk 1\nproperty float min_x\n"
        b"element vertex 1\nproperty uint packed_position\nend_header\n" + bytes(8)
    ),
    "billions.glb": lambda: glb(
        {"accessors": [{"bufferView": 0, "count": 10**9, "type": "VEC3", "componentType": 5126}]}
    ),
    "negative.glb": lambda: glb({"bufferViews": [{"buffer": 0, "byteOffset": -4, "byteLength": 12}]}),
    "moved.glb": lambda: glb({"nodes": [{"mesh": 0, "translation": [1, 0, 0]}]}),
    "uneven.glb": lambda: glb({"accessors": [FLOATS, {**FLOATS, "count": 0}]}, places=1),
    "nothing.glb": lambda: glb({"meshes": []}),
    "deep.glb": lambda: chunked(b"[" * 100_000),
    "billions.sog": lambda: sog({"count": 10**12}),
    "negative.sog": lambda: sog({"count": -1}),
    "version.sog": lambda: sog({"version": 1}),
    "picture.sog": lambda: sog({}, side=12_000),
    "codebook.sog": lambda: sog({"scales": {"codebook": [1e999] * 256, "files": ["p.webp"]}}),
    "outside.sog": lambda: sog({"means": {"mins": [0] * 3, "maxs": [1] * 3, "files": ["/etc/passwd", "p.webp"]}}),
    "palette.sog": lambda: sog({"shN": {"count": 9, "bands": 1, "codebook": [0] * 256, "files": ["p.webp"] * 2}}),
    "bomb.sog": lambda: sog({"asset": "0" * (1 << 27)}),
    "empty.sog": lambda: b"PK\x03\x04" + bytes(40),
    "other.bin": lambda: b"\0" * 64,
    "odd.splat": lambda: b"\1" * 33,
    "empty.ply": lambda: b"",
}


def spz4(*, count: int = 1, streams: int = 5, table: int = 32, version: int = 4, stream: bytes | None = None) -> bytes:
    """Return an spz of version 4 of one Gaussian, whose last stream is another one."""
    sizes = [9, 1, 3, 3, 4]
    packed = [pa.compress(bytes(size), codec="zstd", asbytes=True) for size in sizes]
    if stream is not None:
        packed[-1] = pa.compress(stream, codec="zstd", asbytes=True)
    head = struct.pack("<4sIIBBBBI12x", b"NGSP", version, count, 0, 12, 0, streams, table)
    toc = b"".join(struct.pack("<QQ", len(part), count * size) for part, size in zip(packed, sizes, strict=True))
    return head + toc + b"".join(packed)


def test_the_spz_that_is_forged_above_is_read_when_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "g.spz").write_bytes(spz4())
    g = read_gaussians(tmp_path / "g.spz")
    assert (len(g), g.sh_degree, g.log_scales.tolist()) == (1, 0, [[-10, -10, -10]])


def sog(changes: dict[str, object], side: int = 4) -> bytes:
    """Return a SOG of one Gaussian, whose pictures are all the same one, changed."""
    picture, packed = io.BytesIO(), io.BytesIO()
    Image.new("RGBA", (side, side), (9, 9, 9, 255)).save(picture, "WEBP", lossless=True)
    book = {"codebook": [0] * 256, "files": ["p.webp"]}
    means = {"mins": [0] * 3, "maxs": [1] * 3, "files": ["p.webp", "p.webp"]}
    meta = {"version": 2, "count": 1, "means": means, "quats": {"files": ["p.webp"]}, "scales": book, "sh0": book}
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", json.dumps(meta | changes))
        archive.writestr("p.webp", picture.getvalue())
    return packed.getvalue()


def test_the_sog_that_is_forged_below_is_read_when_it_is_not(tmp_path: Path) -> None:
    (tmp_path / "g.sog").write_bytes(sog({}))
    g = read_gaussians(tmp_path / "g.sog")
    assert (len(g), g.sh_degree, g.log_scales.tolist()) == (1, 0, [[0, 0, 0]])


def glb(changes: dict[str, object], *, places: int = 0) -> bytes:
    """Return a small glTF of one Gaussian's position, changed. ``places``: the accessor of its place."""
    names = [
        "POSITION",
        *(f"KHR_gaussian_splatting:{name}" for name in ("ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0")),
    ]
    primitive = {
        "attributes": dict.fromkeys(names, 0) | {"POSITION": places},
        "extensions": {"KHR_gaussian_splatting": {}},
    }
    document = {
        "meshes": [{"primitives": [primitive]}],
        "accessors": [FLOATS],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": 12}],
        **changes,
    }
    return chunked(json.dumps(document).encode())


def chunked(text: bytes) -> bytes:
    """Return a binary glTF with this for its JSON."""
    return (
        b"glTF" + struct.pack("<III4s", 2, 0, len(text), b"JSON") + text + struct.pack("<I4s", 12, b"BIN\0") + bytes(12)
    )


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_before_memory_is_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORGED[name]())
    tracemalloc.start()
    try:
        with pytest.raises(CorruptArtifact, match=name):
            read_gaussians(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize("name", ["ply", "glb"])
def test_large_files_are_written_and_read_a_piece_at_a_time(name: str, tmp_path: Path) -> None:
    g = some_gaussians(150_000, 3, 0)
    kind, held = FORMATS[name], sum(getattr(g, part).nbytes for part in ("means", "quats", "log_scales", "sh"))
    tracemalloc.start()
    try:
        kind.write(tmp_path / "g", g)
        writing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        got = kind.read(tmp_path / "g")
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(got.sh, g.sh)
    assert writing < 0.4 * held
    assert reading < 1.4 * held


def test_a_name_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"g\.obj") as told:
        format_of_name(tmp_path / "g.obj")
    assert ".spz" in told.value.remedy
    with pytest.raises(InputError, match="no file"):
        read_gaussians(tmp_path / "nothing.ply")


def test_facts_are_those_of_the_gaussians(tmp_path: Path) -> None:
    g = mild(40, 2, 0)
    FORMATS["spz"].write(tmp_path / "g.spz", g)
    facts = facts_of(tmp_path / "g.spz")
    assert (facts["format"], facts["gaussians"], facts["sh_degree"], facts["not_finite"]) == ("spz", 40, 2, 0)
    np.testing.assert_allclose(facts["most"], g.means.max(axis=0), atol=0.01)
    np.testing.assert_allclose(facts["least"], g.means.min(axis=0), atol=0.01)


@pytest.fixture(scope="module")
def splat_transform(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Give the converter of PlayCanvas, from npm, as an independent reader and writer."""
    home = tmp_path_factory.mktemp("npm")
    install = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(home)]
    try:
        subprocess.run([*install, "@playcanvas/splat-transform@2.7.1"], check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"npm cannot install @playcanvas/splat-transform, no independent reader: {error}")
    program = home / "node_modules" / "@playcanvas" / "splat-transform" / "bin" / "cli.mjs"

    def run(*arguments: object) -> None:
        subprocess.run(["node", str(program), "-w", *map(str, arguments)], check=True, capture_output=True, timeout=300)

    return run


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("spz", ["--spz-version", "3"]),
        ("spz4", ["--spz-version", "4"]),
        ("compressed_ply", []),
        ("splat", []),
    ],
)
def test_an_independent_program_reads_ours_and_we_read_its_own(
    name: str, options: list[str], splat_transform: Callable[..., None], tmp_path: Path
) -> None:
    g, kind = mild(700, 3 if name != "splat" else 0, 7), FORMATS[name]
    kind.write(tmp_path / f"ours{kind.suffix}", g)
    splat_transform(tmp_path / f"ours{kind.suffix}", tmp_path / "ours.ply")
    files = [read_ply(tmp_path / "ours.ply")]
    if name != "splat":  # it reads these only
        write_ply(tmp_path / "g.ply", g)
        splat_transform(*options, tmp_path / "g.ply", tmp_path / f"theirs{kind.suffix}")
        files.append(kind.read(tmp_path / f"theirs{kind.suffix}"))
    for got in files:
        nearest = cKDTree(got.means).query(g.means)[1]
        for attribute, difference in differences(g, got.take(nearest)).items():
            assert difference <= STEPS[name][attribute] * 1.01, attribute


def test_an_independent_program_reads_our_sog_and_we_read_its_own_as_it_does(
    splat_transform: Callable[..., None], tmp_path: Path
) -> None:
    g, kind = mild(700, 3, 7), FORMATS["sog"]
    kind.write(tmp_path / "ours.sog", g)
    splat_transform(tmp_path / "ours.sog", tmp_path / "ours.ply")
    got = read_ply(tmp_path / "ours.ply")
    for attribute, difference in differences(g.take(kind.order(g)), got).items():
        assert difference <= STEPS["sog"][attribute] * 1.01, attribute
    write_ply(tmp_path / "g.ply", g)
    splat_transform("-g", "cpu", "-i", "1", tmp_path / "g.ply", tmp_path / "theirs.sog")
    splat_transform(tmp_path / "theirs.sog", tmp_path / "theirs.ply")
    told = differences(read_ply(tmp_path / "theirs.ply"), read_gaussians(tmp_path / "theirs.sog"))
    assert told.pop("opacities") < 1 / 500  # 0 and 255 stand for values up to half a step inside, with us
    assert max(told.values()) < 1e-6


def test_we_read_the_gltf_of_an_independent_program_whose_front_is_where_our_back_is(
    splat_transform: Callable[..., None], tmp_path: Path
) -> None:
    """It has y up as ours has, and looks the other way: x and z are negated. It reads no glTF itself."""
    g = mild(300, 3, 7)
    write_ply(tmp_path / "g.ply", g)
    splat_transform(tmp_path / "g.ply", tmp_path / "theirs.glb")
    got, flip = read_gaussians(tmp_path / "theirs.glb"), np.array([-1, 1, -1], np.float32)
    got = got.take(cKDTree(got.means * flip).query(g.means)[1])
    np.testing.assert_allclose(got.means * flip, g.means, atol=1e-5)
    np.testing.assert_allclose(got.log_scales, g.log_scales, atol=1e-5)
    np.testing.assert_allclose(got.opacities, g.opacities, atol=1e-5)
    axes, turned = (Rotation.from_quat(q.quats[:, [1, 2, 3, 0]]).as_matrix() for q in (g, got))
    want = flip[:, None] * axes * np.exp(g.log_scales)[:, None]
    seen = turned * np.exp(got.log_scales)[:, None]  # an ellipsoid is the same after half a turn about its own axes
    np.testing.assert_allclose(seen @ seen.transpose(0, 2, 1), want @ want.transpose(0, 2, 1), atol=1e-3)
    directions = np.random.default_rng(0).normal(size=(300, 3))
    before = np.einsum("nk,nkc->nc", polynomials(*directions.T), g.sh)
    after = np.einsum("nk,nkc->nc", polynomials(*(directions * flip).T), got.sh)
    np.testing.assert_allclose(after, before, atol=1e-3)
