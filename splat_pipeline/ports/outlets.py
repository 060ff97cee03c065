"""Where a package goes beside the store, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Messenger(Protocol):
    """Tells the outside that something happened."""

    def post(self, event: str, message: Mapping[str, Any]) -> int:
        """Send ``message``, plain JSON values, and return how many attempts it took. Raises ``WebhookFailed``."""
        ...


class Outlet(Protocol):
    """Who is told of packages."""

    def tell(self, event: str, message: Mapping[str, Any], *, job: str, version: str) -> str | None:
        """Send ``message`` and return what became of it; None where nobody is to be told. Raises ``WebhookFailed``.

        ``version``: of the package that it is about, for links to its files; empty for none.
        """
        ...
