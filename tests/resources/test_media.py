"""Clips and photos are measured and cut out as what they are; hostile ones are refused for their reason."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from resources.clips import Decoder
from resources.media import PyAvReader
from resources.upright import upright
from splat_pipeline.domain.errors import (
    Blurred,
    InputError,
    NoVideoStream,
    StaticCamera,
    TooDark,
    TooShort,
    TooSmall,
    UnreadableMedia,
    UnsafeUpload,
    UnsupportedMedia,
)
from splat_pipeline.domain.frames import FrameRef
from splat_pipeline.domain.verdicts import judge_clip

BAD: dict[str, type | None] = {
    "truncated_no_moov.mp4": UnreadableMedia,
    "truncated_faststart.mp4": None,
    "corrupt_middle.mp4": None,
    "zero_byte.mp4": UnreadableMedia,
    "text_renamed.mp4": UnreadableMedia,
    "audio_only.mp4": NoVideoStream,
    "audio_with_cover.m4a": NoVideoStream,
    "one_frame.mp4": TooShort,
    "black.mp4": TooDark,
    "blurry.mp4": Blurred,
    "static_tripod_still.mp4": StaticCamera,
    "static_camera_moving_people.mp4": StaticCamera,
    "moving_object_static_background.mp4": StaticCamera,
    "non_overlapping_cuts.mp4": None,
    "tiny_64x48.mp4": TooSmall,
    "vfr_dropped_frames.mp4": None,
    "rotated_90_metadata.mp4": None,
    "hevc_main10_hlg.mp4": None,
    "bframes_odd_427x341_yuv444.mkv": None,
    "odd_359x241_vp9.webm": None,
    "no_duration_live.webm": None,
    "fragmented.mp4": None,
    "start_time_offset.mkv": None,
    "interlaced.mp4": None,
    "name with spaces & ünïcode (1).mp4": None,
    "opencv_Megamind_bugy.avi": None,
}
"""Broken files and what they are called; None: good enough to go on."""
SHOWN = {"rotated_90_metadata.mp4": (270, 480), "bframes_odd_427x341_yuv444.mkv": (427, 341)}


def measured(path: Path, *, fps: float = 10, said: list[str] | None = None):
    reader = PyAvReader()
    facts = reader.probe(path)
    say = (said if said is not None else []).append
    return facts, list(reader.measure(path, facts, fps=fps, longer_side_px=480, say=say))


def pixels(path: Path):
    with Image.open(path) as image:
        return np.asarray(image, float)


def error_of(path: Path, *, fps: float) -> type | None:
    try:
        verdict = judge_clip(measured(path, fps=fps)[1], name=path.name)
    except InputError as error:
        return type(error)
    return type(verdict) if verdict else None


@pytest.mark.parametrize("name", BAD)
def test_broken_files_are_called_what_they_are(name: str, shared_data: Path) -> None:
    assert error_of(shared_data / "bad" / name, fps=5) is BAD[name]


def test_no_broken_file_is_left_untried(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "bad").iterdir()} - {"README.md"} == set(BAD)


@pytest.mark.parametrize(
    ("name", "size", "error"),
    [
        ("figure_orbit/my_video.mp4", (720, 720), None),
        ("fox_portrait/fox_rotated.mp4", (720, 1280), None),
        ("fox_portrait/images", (720, 1280), None),
        ("kitchen_two_clips/clip_a.mp4", (640, 480), None),
        ("kitchen_two_clips/clip_b.mov", (640, 480), None),
        ("room_150s/room.mp4", (368, 640), None),
        ("drone_gps/images", (1280, 720), None),
        ("static_surveillance/vtest.avi", (768, 576), StaticCamera),
    ],
)
def test_real_captures_are_judged_rightly(
    name: str, size: tuple[int, int], error: type | None, shared_data: Path
) -> None:
    path = shared_data / "dev" / name
    facts, measures = measured(path, fps=1)
    assert (facts.width_px, facts.height_px) == size
    verdict = judge_clip(measures, name=name, images=bool(facts.images))
    assert type(verdict) is (error or type(None))


def test_odd_and_turned_files_show_their_size(shared_data: Path) -> None:
    for name, size in SHOWN.items():
        facts = PyAvReader().probe(shared_data / "bad" / name)
        assert (facts.width_px, facts.height_px) == size


def test_a_damaged_clip_gives_the_same_frames_every_time(shared_data: Path) -> None:
    path = shared_data / "bad" / "corrupt_middle.mp4"
    seen = [[(index, pts_s) for index, pts_s, _ in Decoder(path=path)] for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert 120 < len(seen[0]) < 180
    assert len(list(Decoder(path=shared_data / "bad" / "truncated_faststart.mp4"))) == 102


def test_the_decoder_counts_what_it_steps_over(shared_data: Path) -> None:
    said: list[str] = []
    measured(shared_data / "bad" / "corrupt_middle.mp4", fps=5, said=said)
    assert any("damaged" in line for line in said)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, film, walk) -> Path:
    return film(tmp_path_factory.mktemp("clip") / "walk.mp4", walk(40, step_px=4), fps=20)


def test_a_moving_camera_is_measured_as_moving(clip: Path) -> None:
    facts, measures = measured(clip)
    assert (facts.container, facts.codec, facts.frame_count) == ("mov", "h264", 40)
    assert [m.frame_index for m in measures] == list(range(0, 40, 2))
    assert [m.pts_s for m in measures] == pytest.approx([i / 10 for i in range(20)])
    assert np.median([m.motion_px for m in measures[1:]]) == pytest.approx(8.0, abs=0.5)  # 4 px a frame, every second
    assert max(m.static_share for m in measures if m.static_share is not None) < 0.05
    assert np.median([m.tracked_share for m in measures[1:]]) > 0.6
    assert measures[0].thumbnail.shape == (120, 160, 3)


def test_a_fixed_camera_is_measured_as_fixed(tmp_path: Path, film, walk) -> None:
    still = film(tmp_path / "still.mp4", walk(1) * 30)
    _, measures = measured(still)
    assert min(m.static_share for m in measures if m.static_share is not None) > 0.95
    assert isinstance(judge_clip(measures, name="still.mp4"), StaticCamera)


def test_a_planar_view_is_explained_by_a_homography_and_depth_is_not(tmp_path: Path, film, walk) -> None:
    wide = np.tile(walk(1, width=640)[0], (1, 2, 1))
    panned = film(tmp_path / "pan.mp4", [wide[:, 4 * i : 4 * i + 320] for i in range(30)])
    _, flat = measured(panned)
    assert np.median([m.homography_share for m in flat[1:]]) > 0.95
    assert np.median([m.parallax for m in flat[1:]]) < 0.05
    deep = measured(film(tmp_path / "deep.mp4", walk(30)))[1]
    assert np.median([m.homography_share for m in deep[1:]]) < 0.95
    assert np.median([m.parallax for m in deep[1:]]) > 0.05


def test_frames_are_cut_out_by_time_and_upright(clip: Path, tmp_path: Path, walk) -> None:
    reader = PyAvReader()
    facts = reader.probe(clip)
    refs = [FrameRef(name=f"{i:05d}", frame_index=i, pts_s=i / 20) for i in (30, 3)]
    written = reader.extract(clip, facts, refs, tmp_path, longer_side_px=1280, quality=95)
    assert written == [("00030.jpg", 320, 240), ("00003.jpg", 320, 240)]
    frames = walk(40, step_px=4)
    for ref in refs:
        picture = pixels(tmp_path / f"{ref.name}.jpg")
        assert np.abs(picture - frames[ref.frame_index]).mean() < 6
        assert np.abs(picture - frames[ref.frame_index + 1]).mean() > 12


def test_kept_frames_are_made_smaller_never_larger(clip: Path, tmp_path: Path) -> None:
    reader = PyAvReader()
    ref = FrameRef(name="a", frame_index=0, pts_s=0.0)
    written = reader.extract(clip, reader.probe(clip), [ref], tmp_path, longer_side_px=160, quality=90)
    assert written == [("a.jpg", 160, 120)]


def test_a_frame_that_is_not_there_is_an_error(clip: Path, tmp_path: Path) -> None:
    reader = PyAvReader()
    for pts_s in (0.512, 99.0):
        ref = FrameRef(name="a", frame_index=10, pts_s=pts_s)
        with pytest.raises(UnreadableMedia, match="not there"):
            reader.extract(clip, reader.probe(clip), [ref], tmp_path, longer_side_px=160, quality=90)


def test_colours_survive_both_matrices(tmp_path: Path) -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40)]
    picture = np.repeat(np.array(colors, np.uint8)[None], 80, axis=1).reshape(1, 320, 3).repeat(240, axis=0)
    for code, matrix in ((1, "ITU709"), (5, "ITU601")):
        path = tmp_path / f"{matrix}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv444p"
            stream.codec_context.colorspace = code
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv444p", dst_colorspace=matrix
            )
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        _, _, first = next(iter(Decoder(path=path)))
        seen = upright(first, (320, 240), gray=False)
        assert np.abs(seen[120, 40::80].astype(int) - colors).max() <= 3


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", UnsupportedMedia),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", UnsupportedMedia),
        (b"", UnreadableMedia),
        (b"\0\0\0\x20ftypisom" + b"\0" * 500, UnreadableMedia),
        (b"\x1a\x45\xdf\xa3 #EXTM3U", UnreadableMedia),
    ],
)
def test_what_only_pretends_to_be_a_clip_is_refused(content: bytes, error: type, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(error, match=r"clip\.mp4"):
        PyAvReader().probe(path)


def test_a_link_to_a_clip_is_refused(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    with pytest.raises(UnsafeUpload):
        PyAvReader().probe(tmp_path / "link.mp4")


def photos(folder: Path, pictures, *, exif: Image.Exif | None = None) -> Path:
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.jpg", quality=90, **({"exif": exif} if exif else {}))
    return folder


def test_photos_are_measured_and_cut_out_upright_by_their_exif(tmp_path: Path, walk) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "ACME"
    exif.get_ifd(0x8769)[0xA405] = 28
    pictures = walk(12, step_px=10)
    folder = photos(tmp_path / "set", [np.rot90(picture) for picture in pictures], exif=exif)
    facts, measures = measured(folder)
    assert (facts.width_px, facts.height_px, facts.rotation_deg) == (320, 240, 90)
    assert (facts.make, facts.focal_35mm_mm, facts.images[:3]) == ("ACME", 28.0, ("0.jpg", "1.jpg", "2.jpg"))
    assert [m.frame_index for m in measures] == list(range(12))
    (tmp_path / "out").mkdir()
    ref = FrameRef(name="x", frame_index=10, pts_s=10.0)
    PyAvReader().extract(folder, facts, [ref], tmp_path / "out", longer_side_px=1280, quality=95)
    seen = pixels(tmp_path / "out" / "x.jpg")
    assert np.abs(seen - pictures[10]).mean() < 8


def test_broken_photos_are_left_out_with_a_reason(tmp_path: Path, walk) -> None:
    folder = photos(tmp_path / "set", walk(9, step_px=10))
    (folder / "text.jpg").write_text("no image")
    whole = (folder / "3.jpg").read_bytes()
    (folder / "3.jpg").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    facts, measures = measured(folder, said=said)
    assert set(facts.rejected) == {"text.jpg"}
    assert [m.frame_index for m in measures] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert any("3.jpg" in line for line in said)


def test_a_clip_that_ends_early_gives_what_there_is(clip: Path, tmp_path: Path, film, walk) -> None:
    whole = film(tmp_path / "fast.mp4", walk(40), fps=20, options={"movflags": "+faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    _, measures = measured(tmp_path / "cut.mp4")
    assert 5 < len(measures) < 20
