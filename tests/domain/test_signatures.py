"""Only who knows the secret can sign, and only for now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.signatures import TOLERANCE_S, is_genuine, sign

SECRET = b"sixteen bytes or"


def test_the_signature_is_what_openssl_computes():
    # printf '1763676000.{}' | openssl dgst -sha256 -hmac 'sixteen bytes or'
    assert sign(SECRET, 1763676000, b"{}") == "v1=2706805e4cbf5cf8d3a7021aff46cf3990b72416ef43a92db7096df094e8c1c1"


@given(body=st.binary(max_size=200), when=st.integers(0, 2**40), late=st.integers(-TOLERANCE_S, TOLERANCE_S))
def test_what_was_signed_is_genuine_while_it_is_fresh(body: bytes, when: int, late: int):
    assert is_genuine(SECRET, when, body, sign(SECRET, when, body), now_s=when + late)


@given(body=st.binary(max_size=50), other=st.binary(max_size=50), when=st.integers(0, 2**40))
def test_another_body_time_secret_or_an_old_message_is_not_genuine(body: bytes, other: bytes, when: int):
    signature = sign(SECRET, when, body)
    assert is_genuine(SECRET, when, other, signature, now_s=when) == (other == body)
    assert not is_genuine(SECRET, when + 1, body, signature, now_s=when)
    assert not is_genuine(b"another secret!!", when, body, signature, now_s=when)
    assert not is_genuine(SECRET, when, body, signature, now_s=when + TOLERANCE_S + 1)
    assert not is_genuine(SECRET, when, body, "v1=é", now_s=when)
