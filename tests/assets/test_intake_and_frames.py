"""From an upload to keyframes, through the real store and reader."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import av
import dagster as dg
import numpy as np
import pandas as pd
import pytest
from bench import ASSETS, Bench, failure_of
from PIL import Image

from resources.guarded import GuardedReader
from resources.media import PyAvReader
from splat_pipeline.assets.intake import JobOverrides, resolve
from splat_pipeline.domain import tables
from splat_pipeline.domain.contents import Contents
from splat_pipeline.domain.errors import BadJobFile
from splat_pipeline.domain.recipe import Recipe
from splat_pipeline.domain.uploads import Upload

FREE_TAGS = {"movflags": "use_metadata_tags"}


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    return dict(result.asset_materializations_for_node(asset)[0].metadata)


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    (tmp_path / "Garden walk").mkdir()
    return tmp_path / "Garden walk"


def test_clips_become_keyframes_clip_by_clip(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "b.mp4", walk(30))
    film(upload / "a.mp4", walk(36, step_px=3))
    (upload / "A.SRT").write_text("1\n00:00:01,000 --> 00:00:02,000\nGPS(8.25,47.5,11)\n")
    (upload / "job.yaml").write_text("scene_type: object\nseed: 5\nframes: {holdout_every: 4}\n")
    bench = Bench(tmp_path, upload)
    assert bench.run({"seed": 7}).success

    recipe = Recipe.model_validate(bench.manifest()["recipe"])
    assert (recipe.scene_type, recipe.seed, recipe.frames.holdout_every) == ("object", 7, 4)
    assert bench.manifest()["recipe_keys_from"]["run config"] == ["seed"]
    assert bench.table("source_videos", tables.VIDEOS)["video_id"].tolist() == ["a", "b"]
    [position] = bench.table("source_videos", tables.POSITIONS).to_dict("records")
    assert (position["video_id"], position["pts_s"], position["lat_deg"]) == ("a", 1.0, 47.5)
    assert position["source"] == "srt"
    assert np.isnan(position["alt_m"])

    keyframes = bench.table("keyframes", tables.KEYFRAMES)
    assert keyframes["keyframe_id"].tolist() == list(range(len(keyframes)))
    assert keyframes["file"].is_monotonic_increasing
    assert keyframes.groupby("video_id")["camera_id"].unique().map(list).to_dict() == {"a": [0], "b": [1]}
    assert keyframes["holdout"].sum() in {len(keyframes) // 4, len(keyframes) // 4 + 1}
    original = {"a": walk(36, step_px=3), "b": walk(30)}
    for row in keyframes.iloc[::7].itertuples():
        with Image.open(bench.folder("keyframes") / row.file) as image:
            picture = np.asarray(image, float)
        assert picture.shape == (row.height_px, row.width_px, 3)
        assert np.abs(picture - original[row.video_id][row.frame_index]).mean() < 6

    assert len(bench.table("frame_quality", tables.FRAMES)) == 66
    assert len(bench.table("frame_quality", tables.SEGMENTS)) == 2
    for asset in ("frame_quality", "keyframes"):
        with Image.open(bench.folder(asset) / "contact_sheet.jpg") as sheet:
            assert sheet.width > 500


def test_every_frame_is_told_why_and_its_scores_are_drawn(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "a.mp4", walk(40))
    film(upload / "still.mp4", walk(1) * 30)
    bench = Bench(tmp_path, upload)
    result = bench.run()
    why = bench.table("keyframes", tables.DECISIONS)
    assert len(why) == 70
    assert why["kept"].sum() == len(bench.table("keyframes", tables.KEYFRAMES))
    assert set(why.loc[why["video_id"] == "still", "because"]) == {"clip: StaticCamera"}
    drawn = metadata_of(result, "frame_quality")["over_time"].value
    assert drawn.count("data:image/svg+xml;base64,") == 5
    assert len(drawn) < 50_000
    assert sum(metadata_of(result, "keyframes")["by_decision"].value.values()) == 70


def test_one_bad_clip_does_not_stop_good_ones(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "good.mp4", walk(30))
    film(upload / "still.mp4", walk(1) * 30)
    (upload / "broken.mp4").write_bytes(b"")
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    videos = bench.table("source_videos", tables.VIDEOS).set_index("video_id")
    assert videos["usable"].to_dict() == {"good": True, "still": True, "broken": False}
    assert videos.loc["broken", "reject_reason"].startswith("UnreadableMedia: broken.mp4 has no bytes")
    scored = bench.table("frame_quality", tables.FRAMES)
    assert set(scored[scored["video_id"] == "still"]["reject_reason"]) == {"clip: StaticCamera"}
    assert set(bench.table("keyframes", tables.KEYFRAMES)["video_id"]) == {"good"}


def test_photos_become_keyframes(tmp_path: Path, upload: Path, walk) -> None:
    for i, picture in enumerate(walk(12, step_px=10)):
        Image.fromarray(picture).save(upload / f"IMG_{i}.jpg")
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    assert len(bench.table("keyframes", tables.KEYFRAMES)) == 12
    assert bench.manifest()["images"]["images"][2] == "IMG_2.jpg"


def test_positions_of_photos_are_kept_unless_they_are_not_wanted(tmp_path: Path, upload: Path, walk) -> None:
    for i, picture in enumerate(walk(12, step_px=10)):
        exif = Image.Exif()
        place = {1: "N", 2: (47.0, 30.0, float(i)), 3: "E", 4: (8.0, 15.0, 0.0), 5: b"\0", 6: 400.0}
        exif.get_ifd(0x8825).update(place if i else {1: "N", 2: (0.0,) * 3, 3: "E", 4: (0.0,) * 3, 6: 0.0})
        Image.fromarray(picture).save(upload / f"IMG_{i}.jpg", exif=exif)
    bench = Bench(tmp_path / "with", upload)
    assert bench.run().success
    found = bench.table("source_videos", tables.POSITIONS)
    assert found["pts_s"].tolist() == list(range(1, 12)), "the first had no fix"
    assert found["lat_deg"].iloc[4] == pytest.approx(47.5 + 5 / 3600)
    assert set(found["source"]) == {"exif"}
    video = bench.table("source_videos", tables.VIDEOS).iloc[0]
    assert np.isnan(video["lat_deg"])
    without = Bench(tmp_path / "without", upload)
    assert without.run(recipe=Recipe().overridden({"scale": {"gps": False}}, source="test")).success
    assert len(without.table("source_videos", tables.POSITIONS)) == 0


def test_a_known_length_between_cameras_that_are_not_there_is_refused_at_the_door(
    tmp_path: Path, upload: Path, film, walk
) -> None:
    film(upload / "a.mp4", walk(30))
    (upload / "job.yaml").write_text("scale: {metres: 2.5, between: [a.mp4@0.5, b.mp4@2]}")
    step, shown = failure_of(Bench(tmp_path, upload).run())
    assert (step, shown["class"], shown["file"]) == ("source_videos", "BadJobFile", "job.yaml")
    assert "'b.mp4@2' is no photo and no CLIP@SECONDS" in shown["cause"]
    assert "README" in shown["remedy"]


def test_photos_of_several_sizes_become_a_camera_each(tmp_path: Path, upload: Path, walk) -> None:
    """As one phone takes them: across, upright, and now and then at half its resolution, which is the same lens."""
    across, high = walk(12, step_px=10, width=320, height=240), walk(4, step_px=10, width=240, height=320)
    for i, picture in enumerate([*across, *high]):
        image = Image.fromarray(picture)
        (image.resize((640, 480)) if i == 3 else image).save(upload / f"IMG_{i}.jpg")
    bench = Bench(tmp_path, upload)
    assert bench.run(recipe=Recipe().overridden({"frames": {"longer_side_px": 320}}, source="test")).success
    keyframes = bench.table("keyframes", tables.KEYFRAMES)
    sizes = keyframes.groupby("camera_id")[["width_px", "height_px"]].agg(["min", "max", "size"]).to_numpy().tolist()
    assert sizes == [[320, 320, 12, 240, 240, 12], [240, 240, 4, 320, 320, 4]]
    assert bench.manifest()["image_sizes"] == {"images": {"320x240": 11, "240x320": 4, "640x480": 1}}
    frames = bench.table("frame_quality", tables.FRAMES)
    assert frames["motion_px"].isna().tolist() == [i in {0, 3, 4, 12} for i in range(16)]


def test_photos_through_several_lenses_of_one_phone_become_a_camera_each(tmp_path: Path, upload: Path, walk) -> None:
    for i, picture in enumerate(walk(12, step_px=10)):
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Apple", "iPhone 15 Pro"
        exif.get_ifd(0x8769).update({0xA405: 13, 0x920A: 2.2} if 4 <= i < 8 else {0xA405: 24, 0x920A: 6.8})
        Image.fromarray(picture).save(upload / f"IMG_{i}.jpg", **({} if i == 11 else {"exif": exif}))
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    assert bench.table("keyframes", tables.KEYFRAMES)["camera_id"].tolist() == [0] * 4 + [1] * 4 + [0] * 3 + [2]
    assert bench.manifest()["image_lenses"]["images"]["IMG_5.jpg"] == "Apple, iPhone 15 Pro, 2.2 mm, 13 mm of 35"


def zipped(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_a_zip_of_photos_is_read_like_the_photos(tmp_path: Path, upload: Path, walk) -> None:
    plain = tmp_path / "plain"
    (plain / "set").mkdir(parents=True)
    for i, picture in enumerate(walk(12, step_px=10)):
        Image.fromarray(picture).save(plain / "set" / f"IMG_{i}.jpg")
    photos = {f"set/{path.name}": path.read_bytes() for path in (plain / "set").iterdir()}
    zipped(upload / "photos.zip", photos | {"__MACOSX/set/._IMG_0.jpg": b"x", "job.yaml": b"seed: 3\n"})
    (upload / "job.yaml").write_text("seed: 5\n")  # beside the zip: it wins
    (plain / "job.yaml").write_text("seed: 5\n")
    bench, same = Bench(tmp_path / "a", upload), Bench(tmp_path / "b", plain)
    assert bench.run().success
    assert same.run().success
    for name in ("frame_quality", "keyframes"):
        digests = {b.store.fetch(b.upload.job, name).digest for b in (bench, same)}
        assert len(digests) == 1
    manifest = bench.manifest()
    assert (manifest["recipe"]["seed"], manifest["unpacked"]["archive"]) == (5, "photos.zip")
    inputs = bench.store.fetch(bench.upload.job, "keyframes").manifest["inputs"]
    assert set(inputs) == {"source_videos", "frame_quality", "unpacked"}


def test_a_zip_of_a_clip_is_read_after_the_upload_has_gone(tmp_path: Path, upload: Path, film, walk) -> None:
    clip = film(tmp_path / "a.mp4", walk(30)).read_bytes()
    zipped(upload / "clip.zip", {"cam/a.mp4": clip})
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    assert set(bench.table("keyframes", tables.KEYFRAMES)["video_id"]) == {"cam-a"}
    (upload / "clip.zip").unlink()
    assert bench.run(assets=ASSETS[1:]).success


@pytest.mark.parametrize(
    ("files", "error"),
    [({"../../a.mp4": b"x"}, "UnsafeUpload"), ({"b.zip": b"x"}, "UnsupportedMedia"), ({"a.txt": b"x"}, "EmptyUpload")],
)
def test_a_zip_that_is_refused_fails_at_the_door(
    files: dict[str, bytes], error: str, tmp_path: Path, upload: Path
) -> None:
    zipped(upload / "a.zip", files)
    bench = Bench(tmp_path, upload)
    step, shown = failure_of(bench.run())
    assert (step, shown["class"]) == ("source_videos", error)
    assert shown["remedy"]
    assert not list((tmp_path / "store" / "scratch").iterdir())


def test_clips_of_one_device_share_a_camera_and_others_do_not(tmp_path: Path, upload: Path, film, walk) -> None:
    def filmed(name: str, tags: dict[str, str]) -> None:
        plain = film(tmp_path / name, walk(24))
        with av.open(str(plain)) as source, av.open(str(upload / name), "w", options=FREE_TAGS) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            target.metadata.update(tags)
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)

    phone = {"make": "ACME", "model": "One"}
    for name, tags in {
        "a.mov": phone,
        "b.mov": phone | {"model": "Two"},
        "c.mov": phone,
        "d.mov": {},
        "e.mov": {},
    }.items():
        filmed(name, tags)
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    cameras = bench.table("keyframes", tables.KEYFRAMES).groupby("video_id")["camera_id"].agg(["min", "max"])
    assert cameras.to_numpy().tolist() == [[0, 0], [1, 1], [0, 0], [2, 2], [3, 3]]


class Several(PyAvReader):
    """Measures clips beside one another."""

    clips_at_once = 3


def test_clips_measured_side_by_side_give_what_they_give_in_turns(tmp_path: Path, upload: Path, film, walk) -> None:
    for name, step_px in (("a", 3), ("b", 4), ("c", 5)):
        film(upload / f"{name}.mp4", walk(24, step_px=step_px))
    (upload / "d.mp4").write_bytes((upload / "a.mp4").read_bytes()[:-4000])
    runs = []
    for name, reader in (("turns", PyAvReader()), ("side", Several()), ("children", GuardedReader(threads=1))):
        bench = Bench(tmp_path / name, upload)
        assert bench.run(reader=reader).success
        runs.append([bench.table("frame_quality", tables.FRAMES), bench.table("keyframes", tables.KEYFRAMES)])
        assert runs[-1][0]["video_id"].is_monotonic_increasing
    for scores, kept in runs[1:]:
        pd.testing.assert_frame_equal(scores, runs[0][0])
        pd.testing.assert_frame_equal(kept, runs[0][1])


def test_the_same_upload_gives_the_same_artifacts(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "a.mp4", walk(30))
    digests = []
    for root in (tmp_path / "one", tmp_path / "two"):
        bench = Bench(root, upload)
        assert bench.run().success
        digests.append([bench.store.fetch(bench.upload.job, name).digest for name in ("frame_quality", "keyframes")])
    assert digests[0] == digests[1]


def test_unusable_footage_fails_with_its_class_and_remedy(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "still.mp4", walk(1) * 30)
    step, shown = failure_of(Bench(tmp_path, upload).run())
    assert step == "frame_quality"
    assert (shown["class"], shown["file"]) == ("StaticCamera", "still.mp4")
    assert "walking around" in shown["remedy"]


def test_an_upload_of_broken_files_fails_at_the_door(tmp_path: Path, upload: Path) -> None:
    (upload / "broken.mp4").write_bytes(b"#EXTM3U\n/etc/passwd")
    step, shown = failure_of(Bench(tmp_path, upload).run())
    assert (step, shown["class"]) == ("source_videos", "UnsupportedMedia")


def test_a_wrong_job_file_names_its_key(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "a.mp4", walk(30))
    (upload / "job.yaml").write_text("frames: {max_keyframe: 5}")
    step, shown = failure_of(Bench(tmp_path, upload).run())
    assert (step, shown["class"]) == ("source_videos", "BadJobFile")
    assert "frames.max_keyframe" in shown["cause"]


def test_a_file_that_grew_since_is_refused(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "a.mp4", walk(30))
    bench = Bench(tmp_path, upload)
    with (upload / "a.mp4").open("ab") as stream:
        stream.write(b"more")
    step, shown = failure_of(bench.run())
    assert (step, shown["class"]) == ("source_videos", "InputError")
    assert "when the job was made" in shown["cause"]


def test_an_upload_that_moved_is_still_found(tmp_path: Path, upload: Path, film, walk) -> None:
    film(upload / "a.mp4", walk(30))
    bench = Bench(tmp_path, upload)
    assert bench.run().success
    moved = upload.rename(tmp_path / "processed")
    bench.store.register(type(bench.upload)(**{**vars(bench.upload), "location": str(moved)}))
    assert bench.run().success


def test_the_launchpad_may_change_any_setting_and_wins_over_the_job_file(upload: Path) -> None:
    (upload / "job.yaml").write_text("exports: {keep_all: false, formats: [ply]}\nseed: 3\n")
    entry = Upload(job="a-00000000", title="a", location=str(upload), files=())
    config = JobOverrides(detail="preview", recipe={"exports": {"keep_all": True}, "seed": 9})
    recipe, origin = resolve(Recipe(), entry, Contents(job_file="job.yaml"), config)
    assert (recipe.detail, recipe.seed, recipe.exports.keep_all, recipe.exports.formats) == (
        "preview",
        9,
        True,
        ("ply",),
    )
    assert origin == {"job.yaml": ["exports", "seed"], "run config": ["detail", "exports", "seed"]}
    with pytest.raises(BadJobFile, match=r"run config: exports\.keep"):
        resolve(Recipe(), entry, Contents(), JobOverrides(recipe={"exports": {"keep": True}}))
