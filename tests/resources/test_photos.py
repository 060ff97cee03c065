"""Photos of every kind are read upright and in sRGB; each size of a set is kept, what cannot be a view is not."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from resources.guarded import GuardedReader
from resources.media import PyAvReader
from resources.photos import load_image, probe_images
from splat_pipeline.domain.errors import ToolMissing, TooSmall, UnreadableMedia
from splat_pipeline.domain.orientation import BY_EXIF

COLORS = np.array([[(200, 40, 40), (40, 170, 60)], [(50, 60, 190), (180, 180, 180)]], np.uint8)


def card(width: int = 240, height: int = 180) -> np.ndarray:
    return np.kron(COLORS, np.ones((height // 2, width // 2, 1), np.uint8))


def saved(path: Path, picture: np.ndarray | None = None, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(card() if picture is None else picture).save(path, **options)
    return path


def seen(path: Path) -> np.ndarray:
    """Colours (2, 2, 3) of the quarters of a photo as it is read."""
    picture = load_image(path, 240)
    height, width = picture.shape[:2]
    return picture[height // 4 :: height // 2, width // 4 :: width // 2][:2, :2].astype(int)


@pytest.mark.parametrize("value", BY_EXIF)
def test_every_orientation_of_exif_is_undone(value: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    path = saved(tmp_path / "set" / "a.png", exif=exif)
    facts = probe_images(tmp_path / "set")
    shown = load_image(path, 240)
    assert (facts.width_px, facts.height_px) == shown.shape[1::-1] == BY_EXIF[value].shown(240, 180)
    assert (facts.rotation_deg, facts.mirrored) == (BY_EXIF[value].rotation_deg, BY_EXIF[value].mirrored)
    np.testing.assert_array_equal(shown, BY_EXIF[value].applied(card()))


@pytest.mark.parametrize(
    ("name", "options", "within"),
    [
        ("a.jpg", {"quality": 95, "subsampling": 0}, 4),
        ("a.png", {}, 0),
        ("a.tif", {}, 0),
        ("a.tiff", {"compression": "tiff_lzw"}, 0),
        ("a.TIF", {"compression": "tiff_adobe_deflate"}, 0),
    ],
)
def test_photos_keep_their_colours(name: str, options: dict[str, Any], within: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "set" / name, **({"format": "TIFF"} if name.endswith("TIF") else {}), **options)
    assert probe_images(path.parent).images == (name,)
    assert np.abs(seen(path) - COLORS).max() <= within


def test_sixteen_bits_are_read(tmp_path: Path) -> None:
    import cv2

    gray = card()[..., 0]
    (tmp_path / "set").mkdir()
    cv2.imwrite(str(tmp_path / "set" / "gray.png"), gray.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "set" / "color.tif"), card()[..., ::-1].astype(np.uint16) * 257)
    assert np.abs(seen(tmp_path / "set" / "gray.png")[..., 0].astype(int) - COLORS[..., 0]).max() <= 1
    assert np.abs(seen(tmp_path / "set" / "color.tif") - COLORS).max() <= 1


def test_floating_point_is_refused(tmp_path: Path) -> None:
    saved(tmp_path / "a.tif", card()[..., 0].astype(np.float32))
    with pytest.raises(UnreadableMedia, match="floating point"):
        load_image(tmp_path / "a.tif", 240)


def test_heic_is_read_with_its_decoder(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif (the extra heic) is not installed")
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Apple", 6
    path = saved(tmp_path / "set" / "IMG_1.HEIC", format="HEIF", quality=95, exif=exif.tobytes(), chroma=444)
    facts = probe_images(path.parent)
    assert (facts.codec, facts.make, facts.width_px, facts.height_px) == ("heif", "Apple", 180, 240)
    upright = np.rot90(COLORS, -1).astype(int)
    assert np.abs(seen(path) - upright).max() <= 6


def test_heic_without_its_decoder_names_what_to_install(tmp_path: Path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "IMG_1.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)  # named wrongly, as shared
    with pytest.raises(ToolMissing, match="HEIC") as caught:
        probe_images(tmp_path)
    assert "splat_pipeline[heic]" in caught.value.remedy


def display_p3() -> bytes:
    """An ICC profile of Display P3: sRGB's with the primaries of P3 (SMPTE EG 432-1), adapted to D50."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    count = int.from_bytes(profile[128:132], "big")
    for i in range(count):
        at = 132 + 12 * i
        name, start = bytes(profile[at : at + 4]), int.from_bytes(profile[at + 4 : at + 8], "big")
        if name in columns:
            for k, value in enumerate(columns[name]):
                profile[start + 8 + 4 * k : start + 12 + 4 * k] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(profile)


def test_photos_of_a_wide_gamut_become_srgb(tmp_path: Path) -> None:
    """P3's (0.75, 0.25, 0.25) is (0.811, 0.193, 0.214) in sRGB: the primaries' matrix on linear light."""
    wide = np.broadcast_to(np.array([191, 64, 64], np.uint8), (200, 240, 3)).copy()
    path = saved(tmp_path / "a.png", wide, icc_profile=display_p3())
    linear = ((np.array([191, 64, 64]) / 255 + 0.055) / 1.055) ** 2.4
    mixed = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]) @ linear
    expected = 255 * (1.055 * mixed ** (1 / 2.4) - 0.055)
    assert np.abs(load_image(path, 240)[100, 100] - expected).max() <= 2


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 200])
def test_a_damaged_profile_does_not_cost_the_photo(profile: bytes, tmp_path: Path) -> None:
    assert np.abs(seen(saved(tmp_path / "a.png", icc_profile=profile)) - COLORS).max() == 0


def test_each_size_of_a_set_is_kept_and_what_is_no_view_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for i in range(1, 12):
        saved(folder / f"IMG_{i}.jpg")
    saved(folder / "portrait.jpg", card(180, 240))
    saved(folder / "square.png", card(200, 200))
    saved(folder / "icon.png", card(64, 64))
    saved(folder / "panorama.jpg", card(800, 200))
    io_error = io.BytesIO()
    Image.fromarray(card()).save(io_error, "JPEG")
    (folder / "half.jpg").write_bytes(io_error.getvalue()[:20])
    facts = PyAvReader().probe(folder)
    assert facts.images == (*(f"IMG_{i}.jpg" for i in range(1, 12)), "portrait.jpg", "square.png")
    assert (facts.width_px, facts.height_px, facts.frame_count) == (240, 180, 13)
    assert facts.image_sizes["portrait.jpg"] == (180, 240)
    assert set(facts.rejected) == {"icon.png", "panorama.jpg", "half.jpg"}
    assert "least side" in facts.rejected["icon.png"]
    assert "panorama" in facts.rejected["panorama.jpg"]


def test_a_set_of_small_photos_is_too_small(tmp_path: Path) -> None:
    saved(tmp_path / "set" / "a.png", card(64, 48))
    with pytest.raises(TooSmall, match="64x48"):
        probe_images(tmp_path / "set")


def test_what_is_said_of_a_set_comes_through_the_child_process(tmp_path: Path) -> None:
    for name, picture in {"a.png": card(), "b.png": card(180, 240), "c.png": card(64, 64)}.items():
        saved(tmp_path / "set" / name, picture)
    assert GuardedReader().probe(tmp_path / "set") == PyAvReader().probe(tmp_path / "set")
