"""Signatures by which alike failures of different jobs are grouped: class, stage and what was salient.

    too-dark | frame_quality | <file> (# frames): median brightness # of #, at least # is needed; too dark from # to # s

The class of failure is a stable identifier of ``taxonomy``. What belongs to one job only is taken out of the cause: the
names of its files, numbers, digests, places on the disk.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from splat_pipeline.domain.error_root import SplatError
from splat_pipeline.domain.taxonomy import class_of

BETWEEN = " | "
LONGEST = 120
"""Characters of the salient part; more tells of one job again."""
_HEX = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_PATH = re.compile(r"(?<![\w<])(?:[\w.-]+)?/[\w./-]+")
_FILE = re.compile(
    r"\b[\w-]+\.(?:mp4|mov|mkv|webm|avi|jpe?g|png|tiff?|heic|zip|json|ya?ml|bin|parquet)\b", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?%?")
_REPEATED = re.compile(r"(from # to # s)(?:(?:,| and) from # to # s)*(?: and # times more)?")
_NUMBERED = re.compile(r"\d+")


def signature_of(error: BaseException, stage: str) -> str:
    """Return the signature of ``error`` in ``stage``, an asset or an op of the fan-out."""
    return signature(class_of(type(error)).code, stage, _told(error))


def signature(code: str, stage: str, salient: str) -> str:
    """Return the signature of a failure of class ``code``, for which ``salient`` is already free of the job."""
    return BETWEEN.join((code, _NUMBERED.sub("#", stage), salient)).strip()


def code_in(signature: str) -> str:
    """Return the class of failure in a signature; of a row that was written before there were any, all of it."""
    return signature.split(BETWEEN, maxsplit=1)[0]


def salient_of(cause: str, *, file: str | None = None) -> str:
    """Return ``cause`` without what belongs to one job only."""
    text = " ".join(cause.split())
    for name in filter(None, (file, file and PurePosixPath(file).name)):
        text = text.replace(name, "<file>")
    for pattern, word in ((_QUOTED, "<name>"), (_FILE, "<file>"), (_PATH, "<path>"), (_HEX, "#"), (_NUMBER, "#")):
        text = pattern.sub(word, text)
    return _REPEATED.sub(r"\1", text)[:LONGEST].rstrip()


def _told(error: BaseException) -> str:
    if isinstance(error, SplatError):
        return salient_of(error.cause, file=error.file)
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {salient_of(lines[0])}".removesuffix(": ")
