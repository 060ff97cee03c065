import pandas as pd

from splat_pipeline.domain.gaps import gaps, in_words

KEYFRAMES = pd.DataFrame(
    {"keyframe_id": range(8), "video_id": ["a"] * 5 + ["b"] * 3, "pts_s": [0.0, 1, 2, 3, 4, 0, 1, 2]}
)


def test_gaps_are_stretches_of_a_clip():
    found = gaps(KEYFRAMES, {0, 3, 6})
    assert [(g.video_id, g.first_s, g.last_s, g.keyframes) for g in found] == [
        ("a", 1, 2, 2),
        ("a", 4, 4, 1),
        ("b", 0, 0, 1),
        ("b", 2, 2, 1),
    ]
    assert in_words(found, most=2) == "missing: a 1.0-2.0 s (2 keyframes), a 4.0-4.0 s (1 keyframes) and 2 more"


def test_nothing_missing_says_nothing():
    assert gaps(KEYFRAMES, set(range(8))) == []
    assert in_words([]) == ""
    assert sum(g.keyframes for g in gaps(KEYFRAMES, set())) == 8
