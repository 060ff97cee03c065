"""How long object stores are waited for; tests/faults/test_object_stores.py has one that never answers."""

from __future__ import annotations

from resources import clients


def test_each_kind_of_store_gets_the_patience_that_its_client_understands():
    waits = clients.patience("s3")["config_kwargs"]
    assert (waits["connect_timeout"], waits["read_timeout"]) == (clients.CONNECT_S, clients.ANSWER_S)
    assert clients.patience("az") == {"connection_timeout": clients.CONNECT_S, "read_timeout": clients.ANSWER_S}
    assert clients.patience("memory") == {}


def test_a_client_of_azure_waits_as_long_as_it_is_told(azure_server: str):
    filesystem = clients.opened(f"{azure_server}/a").fs
    assert filesystem._timeout_kwargs == clients.patience("az")  # what it hands on with each request
