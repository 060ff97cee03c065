"""A record that was changed or cut off anywhere is never believed."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from resources.places import place_of
from resources.sealed import opened, read_sealed, sealed
from splat_pipeline.domain.errors import CorruptArtifact

RECORDS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4)


@given(RECORDS)
def test_a_record_is_what_was_sealed(record):
    record.pop("seal", None)
    assert opened(sealed(record)) == record


@given(RECORDS, st.data())
def test_a_record_that_was_changed_or_cut_off_is_not_believed(record, data):
    record.pop("seal", None)
    whole = sealed(record)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    assert opened(whole[:at]) is None
    assert opened(flipped) in (None, record)  # white space may be another


@pytest.mark.parametrize("text", [b"", b"[]", b"3", b'{"a": 1}', b'{"seal": 3}', b"\xff"])
def test_what_was_never_sealed_is_not_believed(tmp_path, text):
    place = place_of(tmp_path)
    place.write("x.json", text)
    with pytest.raises(CorruptArtifact, match=r"x\.json is not what was written"):
        read_sealed(place, "x.json")
