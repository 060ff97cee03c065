"""An upload that lies in an object store, brought to this machine and held against what was seen when it came."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from resources.copies import Copies, brought
from resources.inbox import ends_digest, open_regular
from resources.places import place_of
from splat_pipeline.domain.errors import CorruptArtifact, InputError
from splat_pipeline.domain.uploads import Upload, UploadFile, safe_name


def fetched_upload(upload: Upload, copies: Copies) -> Upload:
    """Return the upload with a location on this machine: its own, or a copy. Raises ``InputError``."""
    place = place_of(upload.location)
    here = place.here()
    if here is not None:
        return replace(upload, location=str(here))
    folder = copies.hold(f"{upload.location} {upload.job} {upload.stamp}")
    told = {file.name: facts.md5 for file in upload.files for facts in place.find(file.name).values()}
    for file in upload.files:
        good = _Good(file, told.get(file.name))
        try:
            brought(place, safe_name(file.name), folder / file.name, good)
        except FileNotFoundError:
            raise InputError(f"{file.name} is gone", file=file.name, remedy="Upload it again.") from None
        except CorruptArtifact:
            raise InputError(f"{file.name} is not what it was when it came", file=file.name) from None
    return replace(upload, location=str(folder))


class _Good:
    """Tells whether a file has the size and the ends that it came with, and the MD5 that its store tells.

    A store may tell another digest than MD5 (of objects encrypted with a key): two reads that agree are good too.
    """

    def __init__(self, file: UploadFile, md5: str | None) -> None:
        self._file, self._md5 = file, md5
        self._seen: set[str] = set()

    def __call__(self, path: Path) -> bool:
        if path.stat().st_size != self._file.size_bytes:
            return False
        with open_regular(path) as stream:
            if self._file.ends and ends_digest(stream, self._file.size_bytes) != self._file.ends:
                return False
            if self._md5 is None:
                return True
            stream.seek(0)
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        again = digest in self._seen
        self._seen.add(digest)
        return again or digest == self._md5
