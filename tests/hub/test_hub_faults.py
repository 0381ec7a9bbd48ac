# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What the Hub's client does about each fault that the test Hub can make.

Whatever happens to a push, the branch is as before or complete, and pushing again completes it. The tests also hold
what our own code relies on: which requests the client tries again, and what it raises where it gives up.
"""

import os

import httpx2
import huggingface_hub.constants
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

REPO = "user/sets"
CARD = b"---\nlicense: mit\n---\n# Sets\n"
LARGE = bytes(range(256)) * 400
STEPS = {
    "validate": "/validate-yaml",
    "preupload": "/preupload/",
    "batch": "/objects/batch$",
    "upload": "^/lfs-store/",
    "verify": "/objects/verify$",
    "commit": "/commit/",
}
TRIED_AGAIN = ["preupload", "batch", "upload", "verify"]


def push(**options):
    operations = [CommitOperationAdd("README.md", CARD), CommitOperationAdd("dpc_5/train.parquet", LARGE)]
    return HfApi().create_commit(REPO, operations, commit_message="Push", repo_type="dataset", **options)


@pytest.fixture(autouse=True)
def waits(hub, quick_retries) -> list[float]:
    """Makes the repository; the seconds that retries would have waited."""
    HfApi().create_repo(REPO, repo_type="dataset")
    return quick_retries


def state(hub) -> str:
    """Says whether nothing of the push is on the branch, or all of it; anything else fails."""
    contents = hub.contents(REPO)
    if contents.keys() == {".gitattributes"}:
        return "before"
    assert contents["README.md"] == CARD and contents["dpc_5/train.parquet"] == LARGE
    return "complete"


@pytest.mark.parametrize("status, retry_after, seconds", [(429, 7, 8), (500, None, 1), (503, 7, 8)])
@pytest.mark.parametrize("step", TRIED_AGAIN)
def test_an_error_that_passes_is_sat_out(hub, waits, step, status, retry_after, seconds):
    hub.faults.status(status, STEPS[step], retry_after=retry_after)
    push()
    assert waits == [seconds] and not hub.faults.pending
    assert state(hub) == "complete"


@pytest.mark.parametrize("step", STEPS)
def test_an_error_that_stays_is_raised(hub, step):
    hub.faults.status(503, STEPS[step], times=100)
    with pytest.raises(RuntimeError if step in ("upload", "verify") else HfHubHTTPError) as caught:
        push()
    error = caught.value if isinstance(caught.value, HfHubHTTPError) else caught.value.__cause__
    assert error.response.status_code == 503
    assert len([one for one in hub.requests if one.status == 503]) == (6 if step in TRIED_AGAIN else 1)
    assert state(hub) == "before"
    hub.faults.clear()
    push()
    assert state(hub) == "complete"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_cut_within_a_request(hub, waits, step, reset):
    hub.faults.cut_upload(STEPS[step], after=20, reset=reset)
    if step in TRIED_AGAIN:
        push()
        assert waits == [1]
    else:
        with pytest.raises(httpx2.TransportError):
            push()
        assert state(hub) == "before"
        push()
    assert state(hub) == "complete" and not hub.faults.pending


def test_a_connection_that_is_cut_in_every_upload(hub):
    hub.faults.cut_upload("^/lfs-store/", after=50_000, times=100)
    with pytest.raises(RuntimeError, match="Error while uploading 'dpc_5/train.parquet'") as caught:
        push()
    assert isinstance(caught.value.__cause__, httpx2.TransportError)
    assert state(hub) == "before"


def test_the_answer_to_a_commit_is_lost(hub):
    """The commit is there, though the client cannot know; the same push again changes nothing."""
    hub.faults.lost_answer("/commit/")
    with pytest.raises(httpx2.RemoteProtocolError):
        push()
    assert state(hub) == "complete"
    head = hub.repository(REPO).head.oid
    assert push().oid == head == hub.repository(REPO).head.oid
    assert len(hub.writes) == 2


def test_a_gateway_gives_up_on_a_commit_that_is_made(hub):
    hub.faults.lost_answer("/commit/", status=504)
    with pytest.raises(HfHubHTTPError, match="504"):
        push()
    assert state(hub) == "complete"


def test_a_commit_race(hub):
    """With a parent the client hears of the other commit; without one, both are made."""
    hub.race(REPO, times=2)
    with pytest.raises(HfHubHTTPError) as caught:
        push(parent_commit=hub.repository(REPO).head.oid)
    assert caught.value.response.status_code == 412
    assert set(hub.contents(REPO)) == {".gitattributes", "other.txt"}
    push()
    assert set(hub.contents(REPO)) == {".gitattributes", "other.txt", "README.md", "dpc_5/train.parquet"}
    assert not hub.faults.pending


@pytest.mark.parametrize("name, path", [("README.md", "/resolve/"), ("dpc_5/train.parquet", "^/lfs-store/")])
def test_a_download_goes_on_where_it_was_cut(hub, waits, monkeypatch, name, path):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 4)
    push()
    hub.requests.clear()
    hub.faults.cut_download(path, after=8, method="GET", times=2)
    file = hf_hub_download(REPO, name, repo_type="dataset")
    assert open(file, "rb").read() == hub.contents(REPO)[name]
    gets = [(one.status, one.headers.get("range")) for one in hub.log("GET", path)]
    assert gets == [(200, None), (206, "bytes=8-"), (206, "bytes=16-")]
    assert waits == [1, 1]


@pytest.mark.parametrize("reset, tries", [(False, 6), (True, 1)])
def test_a_download_that_is_cut_for_ever(hub, reset, tries):
    """A reset is not tried again. Nothing half-loaded stays in the cache."""
    push()
    hub.faults.cut_download("^/lfs-store/", after=1000, method="GET", times=100, reset=reset)
    with pytest.raises(httpx2.TransportError):
        hf_hub_download(REPO, "dpc_5/train.parquet", repo_type="dataset")
    assert len(hub.log("GET", "^/lfs-store/")) == tries
    assert not [name for _, _, names in os.walk(hub.home / "hub") for name in names if "incomplete" in name]
    hub.faults.clear()
    assert open(hf_hub_download(REPO, "dpc_5/train.parquet", repo_type="dataset"), "rb").read() == LARGE


def test_a_short_download_is_noticed(hub):
    push()
    hub.faults.truncate("^/lfs-store/", keep=1000, method="GET")
    with pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download(REPO, "dpc_5/train.parquet", repo_type="dataset")


def test_a_corrupted_download_is_not_noticed_until_it_is_verified(hub):
    """Whoever downloads has to compare hashes."""
    push()
    hub.faults.corrupt("^/lfs-store/", method="GET")
    file = hf_hub_download(REPO, "dpc_5/train.parquet", repo_type="dataset")
    content = open(file, "rb").read()
    assert len(content) == len(LARGE) and content != LARGE
    result = HfApi().verify_repo_checksums(REPO, repo_type="dataset")
    assert [mismatch["path"] for mismatch in result.mismatches] == ["dpc_5/train.parquet"]


@pytest.mark.parametrize("status", [429, 503])
def test_the_cache_stands_in_for_a_hub_that_fails(hub, status):
    """Without a cache the client tries again or says so; with one it returns what is there, however old."""
    push()
    hub.faults.status(status, "/api/datasets/")
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download(REPO, repo_type="dataset")
    hub.faults.status(status, "/resolve/", "HEAD")
    old = hf_hub_download(REPO, "README.md", repo_type="dataset")
    hub.put(REPO, "README.md", b"new")
    hub.faults.status(status, "/resolve/", "HEAD")
    assert hf_hub_download(REPO, "README.md", repo_type="dataset") == old
    assert hf_hub_download(REPO, "README.md", repo_type="dataset") != old


def test_a_slow_answer(hub, waits):
    push()
    hub.faults.delay(0.5, "/resolve/", "HEAD")
    assert hf_hub_download(REPO, "README.md", repo_type="dataset", etag_timeout=0.1)
    assert len(hub.log("HEAD", "/resolve/")) == 2


def test_a_hub_that_is_gone(hub):
    hub.stop()
    with pytest.raises(httpx2.ConnectError):
        push()
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download(REPO, "README.md", repo_type="dataset")
