"""The root of all errors: what is wrong, with which file, and what a person can do. The tree is drawn in ``errors``."""

from __future__ import annotations

from typing import ClassVar, Literal

Retry = Literal["never", "same", "changed"]


class SplatError(Exception):
    """Root of the tree. ``str(error)`` is the cause in one sentence."""

    remedy: ClassVar[str] = "Look at the log of the failed step and report it as a bug."
    retry: ClassVar[Retry] = "never"

    def __init__(self, cause: str, *, file: str | None = None, remedy: str | None = None) -> None:
        """``cause``: what is wrong, with the offending value. ``file``: the upload's file it is about."""
        super().__init__(cause)
        self.cause = cause
        self.file = file
        if remedy is not None:
            self.remedy = remedy  # type: ignore[misc]  # an instance may know better than its class

    def to_json(self) -> dict[str, str | None]:
        """Return ``{class, file, cause, remedy}``, the form in which every door shows an error."""
        return {"class": type(self).__name__, "file": self.file, "cause": self.cause, "remedy": self.remedy}
