import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plyfile import PlyData

from splat_pipeline.domain.errors import CorruptArtifact
from splat_pipeline.domain.formats.points_ply import read_points, write_points


def cloud(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)).astype(np.float32), rng.integers(0, 256, (count, 3)).astype(np.uint8)


@given(st.integers(0, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back(tmp_path, count, seed):
    xyz, rgb = cloud(count, seed)
    write_points(tmp_path / "points.ply", xyz, rgb)
    back_xyz, back_rgb = read_points(tmp_path / "points.ply")
    np.testing.assert_array_equal(back_xyz, xyz)
    np.testing.assert_array_equal(back_rgb, rgb)


def test_another_reader_sees_the_same(tmp_path):
    xyz, rgb = cloud(20)
    write_points(tmp_path / "points.ply", xyz, rgb)
    vertex = PlyData.read(tmp_path / "points.ply")["vertex"]
    np.testing.assert_array_equal(np.stack([vertex[name] for name in "xyz"], 1), xyz)
    np.testing.assert_array_equal(np.stack([vertex[name] for name in ("red", "green", "blue")], 1), rgb)


def test_a_cut_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "points.ply"
    write_points(path, *cloud(5))
    data = path.read_bytes()
    foreign = (b"", b"ply\n", data[:-1], data + b"x", data.replace(b"vertex 5", b"vertex 9999999"), b"x" + data)
    for wrong in foreign:
        path.write_bytes(wrong)
        with pytest.raises(CorruptArtifact, match=r"points\.ply"):
            read_points(path)
