# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Fixtures for tests of publishing: a small Hub on the loopback interface, see `tests.hub_server`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.sets import write_sets
from tests.hub_server.clients import Hub


@pytest.fixture
def hub(tmp_path_factory, monkeypatch) -> Iterator[Hub]:
    """
    A fresh Hub. The clients of this process talk to it as `hub.user`; for subprocesses see `hub.run`, `hub.python` and
    `hub.environment`. A test that makes the server itself fail fails.
    """
    from huggingface_hub.utils import close_session

    home: Path = tmp_path_factory.mktemp("hf_home")
    with Hub(home) as server:
        server.redirect_clients(monkeypatch)
        yield server
        close_session()  # connections to a server that is about to stop
    assert not server.failures, server.failures


@pytest.fixture
def quick_retries(monkeypatch) -> list[float]:
    """Lets the clients' retries in this process wait for nothing; returns the list of seconds they would have."""
    import huggingface_hub.file_download
    import huggingface_hub.utils._http

    waits: list[float] = []

    class Time:
        """The module `time` as these two see it."""

        sleep = staticmethod(waits.append)

    for module in (huggingface_hub.utils._http, huggingface_hub.file_download):
        monkeypatch.setattr(module, "time", Time)
    return waits


@pytest.fixture
def waits(monkeypatch, quick_retries) -> list[float]:
    """Seconds between attempts of ours, which the tests do not wait."""
    seconds: list[float] = []
    monkeypatch.setattr("ddg_hf.hub.connection._wait", seconds.append)
    return seconds


@pytest.fixture
def directory(tmp_path) -> Path:
    """Distilled sets as `ddg-hf generate` writes them."""
    return write_sets(tmp_path / "sets")
