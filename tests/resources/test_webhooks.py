"""A message arrives signed, is tried again within its budget, goes nowhere else, and shows no secret."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest
from receiver import Receiver, receiving

from resources.webhooks import SECRET, Webhook, webhook_of
from splat_pipeline.domain.backoff import Backoff
from splat_pipeline.domain.errors import BadWebhook, WebhookFailed
from splat_pipeline.domain.signatures import is_genuine

KEY = b"0123456789abcdef"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now_s, self.waited = 1_763_676_000.0, []

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now_s += seconds


def webhook(url: str, clock: Clock, **more) -> Webhook:
    def read() -> float:
        return clock.now_s

    chance = random.Random(0)
    return Webhook(url=url, secret=KEY, now=read, clock=read, sleep=clock.sleep, chance=chance, **more)


def test_a_message_arrives_once_and_its_signature_holds(receiver: Receiver):
    clock = Clock()
    assert webhook(f"{receiver.url}/take?token=abc", clock).post("run_failed", {"job": "gärten-1"}) == 1
    [(headers, body)] = receiver.taken
    assert json.loads(body) == {"job": "gärten-1"}
    assert headers["Splat-Event"] == "run_failed"
    assert headers["Content-Type"] == "application/json"
    sent = int(headers["Splat-Timestamp"])
    assert is_genuine(KEY, sent, body, headers["Splat-Signature"], now_s=clock.now_s)
    assert not is_genuine(KEY, sent, body + b" ", headers["Splat-Signature"], now_s=clock.now_s)


def test_transient_answers_and_hung_up_connections_are_tried_again_with_new_signatures(receiver: Receiver):
    receiver.answers = [(503, {}), (0, {}), (429, {"Retry-After": "7"}), (200, {})]
    clock = Clock()
    assert webhook(receiver.url, clock).post("disk_low", {}) == 4
    assert len(clock.waited) == 3
    assert clock.waited[2] == 7
    assert len({headers["Splat-Message"] for headers, _ in receiver.taken}) == 1
    stamps = [int(headers["Splat-Timestamp"]) for headers, _ in receiver.taken]
    assert stamps[-1] - stamps[0] >= 7
    for headers, body in receiver.taken:
        sent = int(headers["Splat-Timestamp"])
        assert is_genuine(KEY, sent, body, headers["Splat-Signature"], now_s=sent)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404])
def test_a_final_answer_is_not_tried_again_and_nothing_is_followed(receiver: Receiver, status: int):
    receiver.answers = [(status, {"Location": f"{receiver.url}/elsewhere"})]
    clock = Clock()
    with pytest.raises(WebhookFailed, match=f"once, last answer: {status}"):
        webhook(receiver.url, clock).post("run_failed", {})
    assert (len(receiver.taken), clock.waited) == (1, [])


def test_the_budget_ends_the_attempts(receiver: Receiver):
    receiver.answers = [(500, {})] * 1000
    clock = Clock()
    start = clock.now_s
    with pytest.raises(WebhookFailed, match="last answer: 500"):
        webhook(receiver.url, clock, backoff=Backoff(first_s=1, longest_s=8, budget_s=60)).post("run_failed", {})
    assert 30 < clock.now_s - start <= 60
    assert len(receiver.taken) == len(clock.waited) + 1
    assert len(receiver.taken) < 100


def test_a_server_that_asks_for_more_than_the_budget_is_not_waited_for(receiver: Receiver):
    receiver.answers = [(503, {"Retry-After": "86400"})]
    clock = Clock()
    with pytest.raises(WebhookFailed):
        webhook(receiver.url, clock).post("run_failed", {})
    assert clock.waited == []


def test_nobody_listening_is_told_without_the_address(receiver: Receiver):
    clock = Clock()
    nobody = webhook("http://user:pass@127.0.0.1:9/canary-token", clock, backoff=Backoff(budget_s=1))
    with pytest.raises(WebhookFailed) as caught:
        nobody.post("run_failed", {})
    shown = f"{caught.value} {nobody!r}"
    assert "127.0.0.1" in shown
    for secret in ("canary", "pass", KEY.decode()):
        assert secret not in shown


def test_an_address_or_a_secret_that_cannot_be_used_is_refused_at_once():
    with pytest.raises(BadWebhook, match="no http"):
        webhook_of("file:///etc/passwd", {SECRET: "x" * 16})
    with pytest.raises(BadWebhook, match="no http"):
        webhook_of("http://[", {SECRET: "x" * 16})
    with pytest.raises(BadWebhook, match="15 bytes"):
        webhook_of("https://example.org", {SECRET: "x" * 15})
    with pytest.raises(BadWebhook, match="not set"):
        webhook_of("https://example.org", {})
    assert webhook_of(None, {}) is None
    made = webhook_of("https://example.org/a", {SECRET: "x" * 16})
    assert made is not None
    assert made.host == "example.org"
