"""Messages to a web server of the operator's: signed, so that it can tell whose they are, and retried within a budget.

    POST <url>
    Content-Type: application/json
    Splat-Event: run_failed                  what the message tells
    Splat-Message: 6f0c...                   the same in every attempt: whoever gets it twice can tell
    Splat-Timestamp: 1763676000              Unix time of this attempt
    Splat-Signature: v1=<hex>                domain/signatures.py says over what

An answer of 2xx ends it. 408, 425, 429, 5xx and a broken connection are tried again, ``Retry-After`` is heeded; any
other answer is final. Redirects are not followed: a message goes where the operator said, or nowhere.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

from splat_pipeline.domain.backoff import Backoff, waits
from splat_pipeline.domain.errors import BadWebhook, WebhookFailed
from splat_pipeline.domain.signatures import sign

SECRET = "SPLAT_WEBHOOK_SECRET"  # noqa: S105  # the name of the variable that holds it
TRANSIENT = frozenset({408, 425, 429, *range(500, 600)})
SHORTEST_SECRET = 16
"""Bytes. Shorter ones can be found by trying."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Fulfils ``Messenger``. Neither the URL nor the secret is shown: tokens are often part of the former."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    backoff: Backoff = field(default_factory=Backoff)
    timeout_s: float = 10.0
    """For connecting, and for every wait for bytes of the answer."""
    now: Callable[[], float] = field(default=time.time, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    chance: random.Random = field(default_factory=random.SystemRandom, repr=False)

    def __post_init__(self) -> None:
        """Raise ``BadWebhook`` for an address that is none, or a secret that is none."""
        try:
            parsed = urllib3.util.parse_url(self.url)
        except urllib3.exceptions.LocationParseError:
            parsed = urllib3.util.Url()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise BadWebhook("the address of the webhook is no http:// or https:// URL")
        if len(self.secret) < SHORTEST_SECRET:
            raise BadWebhook(f"{SECRET} holds {len(self.secret)} bytes, {SHORTEST_SECRET} are the least")

    @property
    def host(self) -> str:
        """What may be shown of the address."""
        return urllib3.util.parse_url(self.url).host or ""

    def post(self, event: str, message: Mapping[str, Any]) -> int:
        """Send ``message`` as JSON and return how many attempts it took. Raises ``WebhookFailed``."""
        body = json.dumps(message, sort_keys=True, ensure_ascii=False).encode()
        common = {"Content-Type": "application/json", "Splat-Event": event, "Splat-Message": uuid.uuid4().hex}
        began_s, pauses, attempts = self.clock(), waits(self.backoff, self.chance), 0
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(self.timeout_s)) as pool:
            while True:
                attempts += 1
                status, asked_s = self._attempt(pool, body, common)
                if isinstance(status, int) and 200 <= status < 300:
                    return attempts
                pause_s = max(next(pauses), asked_s)
                spent = self.clock() - began_s + pause_s > self.backoff.budget_s
                if spent or (isinstance(status, int) and status not in TRANSIENT):
                    times = "once" if attempts == 1 else f"{attempts} times"
                    raise WebhookFailed(f"{self.host} was sent {event} {times}, last answer: {status}")
                self.sleep(pause_s)

    def _attempt(self, pool: urllib3.PoolManager, body: bytes, common: Mapping[str, str]) -> tuple[int | str, float]:
        """Return the status, or the kind of error, and how many seconds the server asks to wait."""
        sent_s = int(self.now())
        headers = {
            **common,
            "Splat-Timestamp": str(sent_s),
            "Splat-Signature": sign(self.secret, sent_s, body),
        }
        try:
            answer = pool.request(
                "POST", self.url, body=body, headers=headers, redirect=False, preload_content=False
            )  # what it says is of no use: only the status is read
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return type(error).__name__, 0.0  # its text holds the address
        asked = answer.headers.get("Retry-After", "")
        answer.close()
        return answer.status, float(asked) if asked.isascii() and asked.isdigit() else 0.0


def webhook_of(url: str | None, environment: Mapping[str, str], *, backoff: Backoff | None = None) -> Webhook | None:
    """Return the webhook at ``url``, signed with the secret that the environment holds; None without a URL.

    Raises ``BadWebhook`` where there is a URL and no secret.
    """
    if url is None:
        return None
    if SECRET not in environment:
        raise BadWebhook(f"messages cannot be signed: {SECRET} is not set")
    return Webhook(url=url, secret=environment[SECRET].encode(), backoff=backoff or Backoff())
