"""Where packages go beside the delivery folder, and who is told: a folder or a prefix of an object store, a webhook.

    <prefix>/<job>/<version>/...              the package; delivery.json is written last: who finds it finds everything
    <prefix>/<job>/latest.json                {"version": ..., "delivery": "<version>/delivery.json"}, written after it

Every file is read back and held against its sha256 before delivery.json is written. What an attempt that failed left
behind is removed; a version that is there already is whole, and is left alone. Credentials are those of the
environment (AWS_*, AZURE_STORAGE_*): none stands in settings or in what is delivered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.webhooks import Webhook
from splat_pipeline.domain.errors import CorruptArtifact, StoreUnavailable, ToolMissing

DELIVERY, LATEST = "delivery.json", "latest.json"
INTERNAL = frozenset({"artifact.json"})
"""Of the store's own bookkeeping: nobody's business."""
EXTRAS = {"s3": "aws", "s3a": "aws", "az": "azure", "abfs": "azure", "abfss": "azure"}
_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """A folder, or s3://bucket/prefix, or az://container/prefix."""

    url: str

    def put(self, folder: Path, job: str, version: str) -> str:
        """Write all files of ``folder`` or none; return the address of the version.

        Raises ``StoreUnavailable``, ``CorruptArtifact`` where what was read back is not what was written.
        """
        with self._opened() as (fs, root):
            home = f"{root}/{job}/{version}"
            if not fs.exists(f"{home}/{DELIVERY}"):
                self._fill(fs, folder, home)
            pointer = {"version": version, "delivery": f"{version}/{DELIVERY}"}
            fs.pipe_file(f"{root}/{job}/{LATEST}", json.dumps(pointer).encode())
            return str(fs.unstrip_protocol(home))

    def links(self, job: str, version: str, *, seconds: int) -> dict[str, str]:
        """Return a signed link for each file, good for so many seconds; none where the place signs nothing."""
        with self._opened() as (fs, root):
            home = f"{root}/{job}/{version}"
            names = json.loads(fs.cat_file(f"{home}/{DELIVERY}"))["files"]
            try:
                return {
                    file["name"]: str(fs.sign(f"{home}/{file['name']}", expiration=seconds))
                    for file in [*names, {"name": DELIVERY}]
                }
            except NotImplementedError:  # a plain folder
                return {}

    def _fill(self, fs: Any, folder: Path, home: str) -> None:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in INTERNAL]
        ordered = sorted(paths, key=lambda path: path.name == DELIVERY)
        try:
            for path in ordered:
                _put(fs, path, f"{home}/{path.relative_to(folder).as_posix()}")
        except BaseException:
            with contextlib.suppress(*_faults()):  # the cause is told; what is left has no delivery.json
                fs.rm(home, recursive=True)
            raise

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        import fsspec

        kind = self.url.partition("://")[0] if "://" in self.url else "file"
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            extra = EXTRAS.get(kind, kind)
            remedy = f"pip install 'splat_pipeline[{extra}]'"
            raise ToolMissing(f"{kind}:// cannot be written here: {error}", remedy=remedy) from None
        except ValueError as error:
            raise StoreUnavailable(f"{kind}:// is no place to deliver to: {error}") from None
        fs.invalidate_cache()
        try:
            yield fs, root.rstrip("/")
        except _faults() as error:
            raise StoreUnavailable(f"delivery to {kind}:// failed: {type(error).__name__}") from error


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """Fulfils ``ports.Outlet``."""

    prefix: Prefix | None = None
    webhook: Webhook | None = field(default=None, repr=False)
    links_s: int | None = None
    """Seconds for which links in messages are good; None: there are none."""

    def put(self, folder: Path, job: str, version: str) -> str | None:
        """Write a package to the prefix and return its address; None where none is set."""
        return None if self.prefix is None else self.prefix.put(folder, job, version)

    def tell(self, event: str, message: Mapping[str, Any], *, job: str, version: str) -> str | None:
        """Send ``message`` with signed links, if they are wanted; return what became of it, None without a webhook.

        Raises ``WebhookFailed``.
        """
        if self.webhook is None:
            return None
        links = {}
        if self.prefix is not None and self.links_s is not None:
            links = {"links": self.prefix.links(job, version, seconds=self.links_s)}
        return f"taken by {self.webhook.host} at attempt {self.webhook.post(event, {**message, **links})}"


def outlet_of(deliver_to: str | None, webhook: Webhook | None, *, links_s: int | None) -> Outlet:
    """Return the outlet that settings describe."""
    prefix = Prefix(url=deliver_to) if deliver_to else None
    return Outlet(prefix=prefix, webhook=webhook, links_s=links_s)


def _has_folders(fs: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def _put(fs: Any, path: Path, target: str) -> None:
    """Write one file and read it back."""
    with path.open("rb") as file:
        want = hashlib.file_digest(file, "sha256").hexdigest()
    if _has_folders(fs):  # s3fs would make a bucket where there is none
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    fs.put_file(str(path), target)
    digest = hashlib.sha256()
    with fs.open(target, "rb", block_size=_BLOCK) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != want:
        raise CorruptArtifact(f"{path.name} is not what was written when it is read back", file=path.name)


def _faults() -> tuple[type[Exception], ...]:
    """Return what object stores raise. Their texts may hold addresses with signatures: only the class is shown."""
    found: list[type[Exception]] = [OSError]
    with contextlib.suppress(ImportError):
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    with contextlib.suppress(ImportError):
        from azure.core.exceptions import AzureError

        found.append(AzureError)
    return tuple(found)
