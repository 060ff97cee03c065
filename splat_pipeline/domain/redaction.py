"""Secrets taken out of text, before anybody else reads it: the one way, for logs, exceptions and what tools print.

Two nets. The values of environment variables whose names say that they are secret are taken out wherever they stand,
also as a URL, JSON or Python writes them. And what has the form of a credential is taken out whoever it belongs to:
passwords in URLs, signatures and tokens in queries, Authorization headers, keys in connection strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST = 6
"""Values below this are words that stand in any text."""
_NAMES = re.compile(
    r"SECRET|TOKEN|PASSW|_PWD$|CREDENTIAL|PRIVATE|(API|ACCESS|ACCOUNT|SHARED|SIGNING)_?KEY|CONNECTION_STRING|SAS(_|$)|DSN",
    re.IGNORECASE,
)
_ADDRESSES = re.compile(r"WEBHOOK|_URL$|_URI$|DSN", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^\s/@:'\"]*:[^\s/@'\"]+(?=@)")
_QUERY = re.compile(
    r"(?i)(?<=[?&;])((?:x-amz-(?:signature|credential|security-token)|awsaccesskeyid|sig|signature|token|"
    r"[a-z_-]*(?:token|secret|passw[a-z]*|api[_-]?key|access[_-]?key))=)[^&\s'\"<>]+"
)
_HEADER = re.compile(
    r"(?i)((?:proxy-)?authorization\s*['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic|aws4-hmac-sha256)\s+)?[^\s'\",]+"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}")
_PAIR = re.compile(
    r"(?i)\b((?:accountkey|sharedaccesssignature|password|passwd|secret[a-z_]*|api_?key)\s*[=:]\s*)(?!\*)[^\s;,'\"}]+"
)
_FORMS = (_QUERY, _HEADER, _BEARER, _PAIR)


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the values that must not be shown: of variables that are named as secrets, and passwords in addresses."""
    values = {value for name, value in environment.items() if _NAMES.search(name)}
    for name, value in environment.items():
        if _ADDRESSES.search(name):
            values |= {match[0].partition(":")[2] for match in _IN_URL.finditer(value)}
    return frozenset(value for value in values if len(value) >= SHORTEST)


def redacted(text: str, secrets: Collection[str]) -> str:
    """Return ``text`` without any of ``secrets``, however written, and without what has the form of a credential."""
    written = {form for secret in secrets for form in _writings(secret)}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    text = _IN_URL.sub(HIDDEN, text)
    for pattern in _FORMS:
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _writings(secret: str) -> set[str]:
    lines = {line for line in secret.splitlines() if len(line) >= SHORTEST}
    forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return forms | lines
