"""Names are tamed, contents told apart, whatever an upload holds."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given

from splat_pipeline.domain import tables
from splat_pipeline.domain.contents import classify, require_content, subtitles_of, unchanged
from splat_pipeline.domain.errors import EmptyUpload, InputError, UnsafeUpload
from splat_pipeline.domain.uploads import (
    Upload,
    UploadFile,
    VideoFacts,
    facts_of,
    job_key,
    natural_order,
    safe_name,
    slug,
    video_ids,
)


@given(st.text())
def test_a_slug_is_a_plain_short_word_and_stays_itself(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{1,40}", slug(name))
    assert slug(slug(name)) == slug(name)


@given(st.text(), st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_a_job_key_is_a_slug_with_eight_hex_digits_of_the_content(title: str, digest: str) -> None:
    key = job_key(title, digest)
    assert re.fullmatch(r"[a-z0-9-]{1,49}", key)
    assert key.endswith(f"-{digest[:8]}")


def test_a_job_key_needs_a_digest() -> None:
    with pytest.raises(ValueError, match="hex"):
        job_key("garden", "../../etc")


@given(st.lists(st.text(min_size=1), unique=True))
def test_natural_order_does_not_depend_on_the_order_of_listing(names: list[str]) -> None:
    assert natural_order(names) == natural_order(reversed(names))
    assert sorted(natural_order(names)) == sorted(names)


def test_natural_order_counts() -> None:
    assert natural_order(["clip10.mp4", "clip2.mp4", "Clip1.mp4"]) == ["Clip1.mp4", "clip2.mp4", "clip10.mp4"]


@given(st.lists(st.text(min_size=1)))
def test_video_ids_are_unique_slugs_in_order(names: list[str]) -> None:
    ids = video_ids(names)
    assert len(ids) == len(names)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", video_id) for video_id in ids)


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/../b", "a//b", ".", "", "a\0b", "a\nb", "a\\b"])
def test_names_that_leave_the_folder_or_hide_are_refused(name: str) -> None:
    with pytest.raises(UnsafeUpload):
        safe_name(name)


@pytest.mark.parametrize("name", ["-rf", "name with spaces & ünïcode (1).mp4", "$(reboot).mp4", "..a/b..", "a;b'\"c"])
def test_awkward_names_are_data(name: str) -> None:
    assert safe_name(name) == name


def test_clips_win_over_images_beside_them() -> None:
    contents = classify(["fox.mp4", *(f"images/{i}.jpg" for i in range(5)), "transforms.json", "LICENSE.upstream"])
    assert contents.sources == ("fox.mp4",)
    assert contents.found == {"transforms.json": "poses"}
    assert contents.ignored["images/0.jpg"] == "images beside clips"
    assert contents.ignored["LICENSE.upstream"] == "papers and references"


def test_images_make_a_set_when_there_is_no_clip() -> None:
    contents = classify([*(f"DJI_{i}.JPG" for i in range(3)), "poster/one.png", ".done", "Thumbs.db", "a.mp4.part"])
    assert contents.sources == (".",)
    assert contents.ignored["poster/one.png"] == "fewer than 3 images in the folder"
    assert [contents.ignored[name] for name in (".done", "Thumbs.db", "a.mp4.part")] == ["junk"] * 3


def test_a_zip_is_the_job_where_there_is_nothing_else() -> None:
    contents = classify(["photos.zip", "job.yaml", "poster.jpg"])
    assert (contents.archive, contents.sources, contents.job_file) == ("photos.zip", (), "job.yaml")
    require_content(contents, "garden")
    assert classify(["photos.zip", "a.mp4"]).archive is None
    assert classify(["photos.zip", *(f"{i}.tif" for i in range(3))]).archive is None


def test_clips_in_sub_folders_are_clips() -> None:
    contents = classify(["cam2/a.MOV", "cam10/a.mov", "cam2/._a.mov", "job.yaml", ".git/x.mp4", "reference/gt.mp4"])
    assert contents.clips == ("cam2/a.MOV", "cam10/a.mov")
    assert contents.job_file == "job.yaml"
    assert video_ids(contents.clips) == ["cam2-a", "cam10-a"]


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "empty"), (["notes.txt"], "notes.txt"), (["a.zip", "b.zip"], "2 zips"), ([".done"], "empty")],
)
def test_an_upload_without_pictures_says_what_it_holds(names: list[str], said: str) -> None:
    with pytest.raises(EmptyUpload, match=said):
        require_content(classify(names), "garden")


def test_facts_survive_the_table_of_videos(tmp_path) -> None:
    facts = VideoFacts(container="mov", width_px=720, height_px=1280, rotation_deg=90, fps=29.97, frame_count=50)
    names = [column.name for column in tables.VIDEOS.columns]
    one = {"video_id": "a", "name": "a.mp4", "sha256": "0", "size_bytes": 1, "usable": True}
    two = {**one, "video_id": "b", "usable": False, "reject_reason": "UnreadableMedia: cut off"}
    rows = [{name: (vars(facts) | one).get(name) for name in names}, {name: two.get(name) for name in names}]
    tables.write_table(tmp_path / "videos.parquet", tables.VIDEOS, pd.DataFrame(rows))
    row = tables.read_table(tmp_path / "videos.parquet", tables.VIDEOS).to_dict("records")[0]
    again = facts_of(row, images=("x.jpg",))
    assert again.fps == pytest.approx(29.97)
    assert (again.width_px, again.frame_count, again.duration_s, again.images) == (720, 50, None, ("x.jpg",))


def test_a_file_that_changed_since_is_refused() -> None:
    files = (UploadFile(name="a.mp4", size_bytes=10), UploadFile(name="set/1.jpg", size_bytes=2))
    upload = Upload(job="j-00000000", title="j", location="/x", files=files)
    unchanged(upload, "a.mp4", 10)
    unchanged(upload, "set", 2)
    with pytest.raises(InputError, match="11 bytes now and had 10"):
        unchanged(upload, "a.mp4", 11)


def test_subtitles_belong_to_the_clip_that_is_called_like_them():
    contents = classify(["DJI_1.MP4", "dji_1.srt", "b/DJI_1.mp4", "b/DJI_2.SRT", "talk.srt"])
    assert contents.clips == ("b/DJI_1.mp4", "DJI_1.MP4")
    assert subtitles_of(contents, "DJI_1.MP4") == "dji_1.srt"
    assert subtitles_of(contents, "b/DJI_1.mp4") is None
    assert contents.found["talk.srt"] == "subtitles"
    assert subtitles_of(classify(["1.jpg", "2.jpg", "3.jpg", "a.srt"]), ".") is None
