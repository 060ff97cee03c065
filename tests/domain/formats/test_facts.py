"""Whatever people receive can be looked at and, within its kind, written in another way."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import plyfile
import pycolmap
import pytest
from clouds import some_gaussians
from typer.testing import CliRunner

from splat_pipeline.cli import app
from splat_pipeline.domain.errors import BadPoses, CorruptArtifact, InputError, SplatError
from splat_pipeline.domain.formats.camera_files import read_cameras, write_cameras
from splat_pipeline.domain.formats.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from splat_pipeline.domain.formats.facts import facts_of
from splat_pipeline.domain.formats.files import FORMATS, read_gaussians
from splat_pipeline.domain.formats.points_ply import write_points
from splat_pipeline.domain.formats.spz import write_spz
from splat_pipeline.domain.rigid import rotation_from_quat

CENTRES = np.array([[0.0, 0, 0], [1, 0, 0.5], [2, -1, 4]])


def model() -> ColmapModel:
    """Three images, whose places are ``CENTRES``, and two points."""
    rng = np.random.default_rng(1)
    images = {}
    for number, centre in enumerate(CENTRES, start=1):
        quat = rng.normal(size=4)
        quat /= np.linalg.norm(quat)
        images[number] = ColmapImage(
            name=f"{number}.jpg",
            camera_id=1,
            quat=quat,
            translation=-rotation_from_quat(quat) @ centre,
            xys=np.zeros((0, 2)),
            point3d_ids=np.zeros(0, np.int64),
        )
    none = np.zeros(0, np.int64)
    points = ColmapPoints(
        ids=np.arange(1, 3),
        xyz=np.array([[0.0, 1, 2], [3, 4, 5]]),
        rgb=np.zeros((2, 3), np.uint8),
        error_px=np.ones(2),
        track_lengths=np.zeros(2, np.int64),
        track_images=none,
        track_keypoints=none,
    )
    lens = ColmapCamera(model="PINHOLE", width_px=640, height_px=360, params=(500.0, 500.0, 320.0, 180.0))
    return ColmapModel(cameras={1: lens}, images=images, points=points)


def page_of(folder: Path, content: bytes | None) -> Path:
    """A page such as the viewer's, with ``content`` for its splat."""
    splat = b"" if content is None else b'<script type="text/plain" id="splat">' + content + b"</script>"
    (folder / "viewer.html").write_bytes(b"<!doctype html>\n<html><body>" + splat + b"</body></html>")
    return folder / "viewer.html"


def test_a_model_of_colmap_and_a_transforms_json_become_one_another_and_say_the_same(tmp_path: Path) -> None:
    write_cameras(tmp_path / "there", model())
    write_cameras(tmp_path / "transforms.json", read_cameras(tmp_path / "there"))
    write_cameras(tmp_path / "back", read_cameras(tmp_path / "transforms.json"))
    for name, kind, points in (("there", "colmap", 2), ("transforms.json", "transforms", 0), ("back", "colmap", 0)):
        facts = facts_of(tmp_path / name)
        assert (facts["format"], facts["cameras"], facts["images"], facts["points"]) == (kind, 1, 3, points)
        assert facts["sizes_px"] == ["640x360"]
        np.testing.assert_allclose(facts["least"], CENTRES.min(axis=0), atol=1e-4)
        np.testing.assert_allclose(facts["most"], CENTRES.max(axis=0), atol=1e-4)


def test_colmap_reads_what_became_of_a_transforms_json_and_its_text_is_looked_at_too(tmp_path: Path) -> None:
    write_cameras(tmp_path / "transforms.json", model())
    write_cameras(tmp_path / "made", read_cameras(tmp_path / "transforms.json"))
    theirs = pycolmap.Reconstruction(str(tmp_path / "made"))
    seen = {image.name: image.projection_center() for image in theirs.images.values()}
    np.testing.assert_allclose([seen[f"{i}.jpg"] for i in (1, 2, 3)], CENTRES, atol=1e-9)
    (tmp_path / "text").mkdir()
    theirs.write_text(str(tmp_path / "text"))
    assert facts_of(tmp_path / "text")["images"] == 3


def test_points_are_told_from_gaussians_in_plys_of_any_program(tmp_path: Path) -> None:
    xyz = np.array([[0, 0, 0], [1, 2, 3], [-1, 5, 2]], np.float32)
    write_points(tmp_path / "ours.ply", xyz, np.zeros((3, 3), np.uint8))
    rows = np.array([(9.0, *place) for place in xyz.tolist()], [(n, "<f8") for n in ("quality", "x", "y", "z")])
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")], byte_order="<").write(str(tmp_path / "theirs.ply"))
    FORMATS["ply"].write(tmp_path / "g.ply", some_gaussians(20, 1, 0))
    for name, coloured in (("ours.ply", True), ("theirs.ply", False)):
        facts = facts_of(tmp_path / name)
        assert (facts["format"], facts["points"], facts["coloured"]) == ("points", 3, coloured)
        assert (facts["least"], facts["most"]) == ([-1, 0, 0], [1, 5, 3])
    assert facts_of(tmp_path / "g.ply")["gaussians"] == 20
    write_points(tmp_path / "none.ply", xyz[:0], np.zeros((0, 3), np.uint8))
    assert facts_of(tmp_path / "none.ply")["least"] is None


def test_the_splat_in_a_viewer_is_read_and_a_page_without_one_is_refused(tmp_path: Path) -> None:
    g = some_gaussians(30, 2, 0)
    write_spz(tmp_path / "g.spz", g)
    packed = base64.b64encode((tmp_path / "g.spz").read_bytes())
    page = page_of(tmp_path, packed)
    np.testing.assert_array_equal(read_gaussians(page).means, read_gaussians(tmp_path / "g.spz").means)
    assert (facts_of(page)["format"], facts_of(page)["sh_degree"]) == ("viewer", 2)
    for content in (None, b"!!!", packed[:-40], base64.b64encode(b"PK\x03\x04")):
        with pytest.raises(CorruptArtifact, match=r"viewer\.html"):
            read_gaussians(page_of(tmp_path, content))


def told(*words: object) -> dict[str, object]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def test_every_format_is_converted_into_every_other_and_looked_at_by_the_command(tmp_path: Path) -> None:
    g = some_gaussians(300, 1, 2)
    g.sh[:] = np.clip(g.sh * 0.2, -0.9, 0.9)
    FORMATS["ply"].write(tmp_path / "g.ply", g)
    for kind in FORMATS.values():
        first = tmp_path / f"first{kind.suffix}"
        assert told("convert", tmp_path / "g.ply", first)["gaussians"] == 300
        facts = told("info", first, "--json")
        assert facts["size_bytes"] == first.stat().st_size
        np.testing.assert_allclose(facts["most"], g.means.max(axis=0), atol=0.2)
        told("convert", first, tmp_path / "back.ply", "--degree", "0")
        assert told("info", tmp_path / "back.ply", "--json")["sh_degree"] == 0
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "g.ply")]).stdout
    assert "gaussians        300" in shown


def test_cameras_are_converted_by_the_command_and_never_into_gaussians(tmp_path: Path) -> None:
    write_cameras(tmp_path / "model", model())
    assert told("convert", tmp_path / "model", tmp_path / "transforms.json")["images"] == 3
    assert told("info", tmp_path / "transforms.json", "--json")["images"] == 3
    with pytest.raises(InputError, match="would hold Gaussians"):
        told("convert", tmp_path / "model", tmp_path / "g.ply")


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("nothing", None, InputError),
        ("a.json", b"[]", BadPoses),
        ("a.json", b'{"frames": []}', BadPoses),
        ("folder/x.txt", b"", BadPoses),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", CorruptArtifact),
        ("a.bin", b"", CorruptArtifact),
    ],
)
def test_what_holds_none_of_these_is_refused_by_name(
    name: str, content: bytes | None, error: type[SplatError], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as raised:
        facts_of(path.parent if "/" in name else path)
    assert raised.value.remedy
