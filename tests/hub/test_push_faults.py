# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishing while the Hub or the connection fails."""

import pytest

from ddg_hf.errors import UserError
from ddg_hf.hub import push_distilled
from tests.hub.published import REPOSITORY
from tests.hub.sets import write_sets

pytestmark = pytest.mark.usefixtures("waits")


def faults(hub) -> dict:
    return {
        "too many requests": lambda: hub.faults.status(429, r"/commit/", "POST", retry_after=7),
        "server error at the commit": lambda: hub.faults.status(500, r"/commit/", "POST", times=2),
        "server error before": lambda: hub.faults.status(503, r"/api/datasets/user/toy-ddg$", "GET"),
        "upload cut": lambda: hub.faults.cut_upload(r"/lfs-store/", after=20),
        "commit cut": lambda: hub.faults.cut_upload(r"/commit/", after=100),
        "answer lost": lambda: hub.faults.lost_answer(r"/commit/"),
        "answer cut short": lambda: hub.faults.truncate(r"/commit/", keep=5),
        "committed and yet 500": lambda: hub.faults.lost_answer(r"/commit/", status=500),
        "slow": lambda: hub.faults.delay(0.3, r"/commit/"),
        "race": lambda: hub.race(REPOSITORY),
    }


@pytest.mark.parametrize(
    "fault",
    [
        "too many requests",
        "server error at the commit",
        "server error before",
        "upload cut",
        "commit cut",
        "answer lost",
        "answer cut short",
        "committed and yet 500",
        "slow",
        "race",
    ],
)
def test_a_fault_that_passes_is_survived(hub, directory, tmp_path, fault):
    push_distilled(directory, REPOSITORY)
    more = write_sets(tmp_path / "more", sizes=(1, 2, 4), text="another kettle")
    faults(hub)[fault]()
    push_distilled(more, REPOSITORY)
    assert not hub.faults.pending
    contents = hub.contents(REPOSITORY)
    for config in ("dpc_1", "dpc_2", "dpc_4"):
        assert contents[f"{config}/train.parquet"] == (more / config / "train.parquet").read_bytes()
    hub.requests.clear()
    assert not push_distilled(more, REPOSITORY).changed
    assert not hub.writes


@pytest.mark.parametrize(
    "where", [r"/commit/", r"/lfs-store/", r"/preupload/", r"\.git/info/lfs", r"/api/validate-yaml"]
)
def test_a_fault_that_stays_leaves_the_repository_as_it_was(hub, directory, tmp_path, where):
    push_distilled(directory, REPOSITORY)
    before = hub.repository(REPOSITORY).head.oid
    hub.faults.status(500, where, times=1000)
    more = write_sets(tmp_path / "more", sizes=(1, 2, 4), text="another kettle")
    with pytest.raises(UserError, match="cannot publish 'user/toy-ddg': the Hub answered 500"):
        push_distilled(more, REPOSITORY)
    assert hub.repository(REPOSITORY).head.oid == before
    hub.faults.clear()
    assert push_distilled(more, REPOSITORY).changed


def test_waits_as_long_as_the_hub_asks(hub, directory, waits):
    push_distilled(directory, REPOSITORY)
    hub.faults.status(429, r"/api/datasets/user/toy-ddg$", "GET", retry_after=7)
    push_distilled(directory, REPOSITORY)
    assert waits == [7]
