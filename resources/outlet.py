"""Who is told of packages: a webhook, with signed links to the files where they lie in an object store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resources.deliveries import DELIVERY
from resources.webhooks import Webhook
from splat_pipeline.ports.stores import Place


@dataclass(frozen=True, kw_only=True)
class Outlet:
    """Fulfils ``ports.Outlet``."""

    place: Place | None = None
    """Where packages are delivered."""
    webhook: Webhook | None = field(default=None, repr=False)
    links_s: int | None = None
    """Seconds for which links in messages are good; None: there are none."""

    def tell(self, event: str, message: Mapping[str, Any], *, job: str, version: str) -> str | None:
        """Send ``message``, with links if they are wanted, and return what became of it; None without a webhook.

        Raises ``WebhookFailed``. Links open the files for whoever has them: they go into the message and nowhere else.
        """
        if self.webhook is None:
            return None
        links = self._links(f"{job}/{version}") if version else {}
        told = {**message, "links": links} if links else message
        return f"taken by {self.webhook.host} at attempt {self.webhook.post(event, told)}"

    def _links(self, home: str) -> dict[str, str]:
        """Return a signed link for every file of a package by name."""
        if self.place is None or self.links_s is None:
            return {}
        files = json.loads(self.place.read(f"{home}/{DELIVERY}"))["files"]
        names = [DELIVERY, *(file["name"] for file in files)]
        found = {name: self.place.link(f"{home}/{name}", seconds=self.links_s) for name in names}
        return {name: link for name, link in found.items() if link is not None}
