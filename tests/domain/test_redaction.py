"""No secret of the environment, and nothing that has the form of a credential, is left in a text."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splat_pipeline.domain.redaction import HIDDEN, SHORTEST, redacted, secrets_of

CANARY = "cAnArY-7f3/x+9=&\"'ü"


@pytest.mark.parametrize(
    "name",
    [
        "SPLAT_WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "POSTGRES_PASSWORD",
        "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY_TOKEN", "AZURE_STORAGE_SAS", "AZURE_STORAGE_CONNECTION_STRING",
        "HF_TOKEN", "DB_PWD", "GOOGLE_APPLICATION_CREDENTIALS", "PGPASSWORD", "SENTRY_DSN", "api_key",
    ],
)  # fmt: skip
def test_variables_that_are_named_as_secrets_are(name: str):
    assert secrets_of(
        {name: CANARY, "HOME": "/root/home", "SPLAT__HOME": "/data/splat", "PWD": "/root/a", "OLDPWD": "/root/b"}
    ) == {CANARY}


def test_passwords_in_addresses_are_secrets_and_addresses_are_not():
    found = secrets_of(
        {"DATABASE_URL": "postgresql://dagster:pa55-word@db:5432/x", "MY_URL": "https://example.org/abc"}
    )
    assert found == {"pa55-word"}


def test_short_values_are_left_they_would_tear_any_text():
    assert secrets_of({"MY_TOKEN": "abc"}) == frozenset()


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=SHORTEST, max_size=30),
    before=st.text("ab ", max_size=5),
)
def test_a_secret_is_found_however_it_is_written(secret: str, before: str):
    for written in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret),
        repr(secret),
    ):
        core = written.strip("\"'") if written[0] in "\"'" else written
        shown = redacted(f"{before}{written} after", {secret})
        assert HIDDEN in shown
        assert len(core) < SHORTEST or core not in shown.replace(HIDDEN, "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET https://u:cAnArY@host/a?b=1", "GET https://***@host/a?b=1"),
        ("https://x.blob/a?sv=2&sig=cAnArY%3D&se=3", "https://x.blob/a?sv=2&sig=***&se=3"),
        ("s3?X-Amz-Signature=cAnArY&X-Amz-Credential=cAnArY", "s3?X-Amz-Signature=***&X-Amz-Credential=***"),
        ("{'Authorization': 'Bearer cAnArY.cAnArY'}", "{'Authorization': '***'}"),
        ("authorization: Basic cAnArYcAnArY==", "authorization: ***"),
        ("sent bearer cAnArYcAnArY ok", "sent bearer *** ok"),
        ("AccountName=a;AccountKey=cAnArY==;Suffix=b", "AccountName=a;AccountKey=***;Suffix=b"),
        ("password=cAnArY next", "password=*** next"),
        ("https://h/x?access_token=cAnArY#a", "https://h/x?access_token=***"),
    ],
)  # fmt: skip
def test_credentials_by_their_form_are_taken_out_whoever_they_belong_to(text: str, shown: str):
    assert redacted(text, ()) == shown


@given(st.text(st.sampled_from("abc xyz 0123456789.:/_-%\n"), max_size=80))
def test_plain_text_stays_as_it_is(text: str):
    assert redacted(text, {CANARY}) == text or "://" in text


def test_our_own_lines_stay_as_they_are():
    for line in (
        "keyframes: reused from 0123456789abcdef",
        "a.mp4: 12 frames, 3.5 px; token of thanks",
        "s3://bucket/a",
    ):
        assert redacted(line, {CANARY}) == line
