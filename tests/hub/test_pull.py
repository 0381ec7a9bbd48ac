# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Fetching distilled sets, with the real clients over HTTP."""

import json

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from ddg_hf.errors import UserError
from ddg_hf.formats.directory import open_distilled
from ddg_hf.hub import load_demonstrations, pull_distilled, push_distilled
from ddg_hf.quality import run_checks
from tests.hub.sets import write_sets

pytestmark = pytest.mark.usefixtures("waits")

REPOSITORY = "user/toy-ddg"


@pytest.fixture
def published(hub, tmp_path):
    """The directory whose sets are published."""
    directory = write_sets(tmp_path / "sets")
    push_distilled(directory, REPOSITORY)
    return directory


def test_a_round_trip_gives_the_same_bytes(hub, published, tmp_path):
    pulled = open_distilled(pull_distilled(REPOSITORY, tmp_path / "pulled"))
    for config in ("dpc_1", "dpc_2"):
        ours, theirs = (pq.read_table(path / config / "train.parquet") for path in (published, pulled.path))
        assert theirs.schema.equals(ours.schema, check_metadata=True)
        for name in ours.column_names:
            for a, b in zip(ours[name].chunks, theirs[name].chunks, strict=True):
                assert [x and x.to_pybytes() for x in a.buffers()] == [x and x.to_pybytes() for x in b.buffers()]
        assert (pulled.path / config / "train.parquet").read_bytes() == (
            published / config / "train.parquet"
        ).read_bytes()
    assert pulled.metadata["pulled"]["commit"] == hub.repository(REPOSITORY).head.oid
    assert (pulled.path / "README.md").read_bytes() == hub.contents(REPOSITORY)["README.md"]
    (pulled.path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds more than distilled sets .'notes.txt'"):
        pull_distilled(REPOSITORY, pulled.path, overwrite=True)
    (pulled.path / "notes.txt").unlink()
    # Publishing what was fetched changes nothing but the record of the fetch.
    push_distilled(pulled.path, "user/copy")
    assert load_dataset("user/copy", "dpc_2", split="train").to_list() == ours.to_pylist()


def test_one_configuration_of_a_revision(hub, published, tmp_path):
    first = hub.repository(REPOSITORY).head.oid
    push_distilled(write_sets(tmp_path / "other", text="another kettle"), REPOSITORY)
    directory = open_distilled(pull_distilled(REPOSITORY, tmp_path / "pulled", config="dpc_1", revision=first))
    assert directory.configs == ("dpc_1",)
    assert directory.table("dpc_1")["text"][0].as_py().startswith("the kettle")
    assert load_demonstrations(REPOSITORY, "dpc_1")["text"][0].startswith("another kettle")
    assert load_demonstrations(REPOSITORY, "dpc_1", revision=first)["text"][0].startswith("the kettle")


@pytest.mark.parametrize("config", ["dpc_1", "dpc_2"])
def test_load_demonstrations_is_load_dataset(hub, published, config):
    wanted = load_dataset(REPOSITORY, config, split="train")
    for source in (REPOSITORY, published):
        found = load_demonstrations(source, config)
        assert found.features == wanted.features and found.to_list() == wanted.to_list()
    assert load_demonstrations(REPOSITORY).to_list() == load_demonstrations(published, "dpc_1").to_list()


def test_shards_become_one_file(hub, published, tmp_path):
    """As `Dataset.push_to_hub` writes them."""
    load_dataset(str(published), "dpc_2", split="train").push_to_hub(
        "user/shards", "dpc_2", num_shards=2, data_dir="dpc_2"
    )
    assert "dpc_2/train-00000-of-00002.parquet" in hub.contents("user/shards")
    directory = open_distilled(pull_distilled("user/shards", tmp_path / "pulled"))
    assert directory.table("dpc_2").to_pylist() == open_distilled(published).table("dpc_2").to_pylist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "dpc_3"}, "has no 'dpc_3'. Did you mean 'dpc_[12]'"),
        ({"revision": "v9"}, "no such revision"),
        ({"repo_id": "user/nothing"}, "no such repository"),
        ({"repo_id": "nothing"}, "form user/name"),
    ],
)
def test_what_is_not_there(hub, published, tmp_path, options, message):
    target = tmp_path / "pulled"
    with pytest.raises(UserError, match=message):
        pull_distilled(**{"repo_id": REPOSITORY, "directory": target} | options)
    assert not target.exists() and not list(tmp_path.glob(".pulled*"))


def test_private_sets_need_a_token(hub, tmp_path, monkeypatch):
    push_distilled(write_sets(tmp_path / "sets"), REPOSITORY, private=True)
    pull_distilled(REPOSITORY, tmp_path / "mine")
    for token in (hub.other_token, None):
        monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(UserError, match="no such repository, or you have no access"):
            pull_distilled(REPOSITORY, tmp_path / "theirs")


@pytest.mark.parametrize("fault", ["cut", "busy", "slow", "damaged", "truncated"])
def test_a_fault_that_passes_is_survived(hub, published, tmp_path, fault):
    path = r"dpc_2/train\.parquet|/lfs-store/"
    {
        "cut": lambda: hub.faults.cut_download(path, after=50),
        "busy": lambda: hub.faults.status(429, path, "GET", retry_after=1),
        "slow": lambda: hub.faults.delay(0.3, path),
        "damaged": lambda: hub.faults.corrupt(path),
        "truncated": lambda: hub.faults.truncate(path, keep=60),
    }[fault]()
    pulled = pull_distilled(REPOSITORY, tmp_path / "pulled")
    assert not hub.faults.pending
    for config in ("dpc_1", "dpc_2"):
        assert (pulled / config / "train.parquet").read_bytes() == (published / config / "train.parquet").read_bytes()


def test_a_fault_that_stays_leaves_nothing(hub, published, tmp_path):
    hub.faults.status(500, r"/resolve/|/lfs-store/", times=1000)
    with pytest.raises(UserError, match="cannot fetch 'user/toy-ddg'"):
        pull_distilled(REPOSITORY, tmp_path / "pulled")
    hub.faults.clear()
    hub.faults.corrupt(r"/lfs-store/", times=1000)
    with pytest.raises(UserError, match="arrived damaged"):
        pull_distilled(REPOSITORY, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists() and not list(tmp_path.glob(".pulled*"))


def test_a_failed_pull_keeps_what_was_there(hub, published, tmp_path):
    target = pull_distilled(REPOSITORY, tmp_path / "pulled")
    with pytest.raises(UserError, match="is there already; pass --overwrite"):
        pull_distilled(REPOSITORY, target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    hub.put(REPOSITORY, "dpc_2/train.parquet", b"PAR1 and no more", "dataset")
    with pytest.raises(UserError, match=r"cannot read .*dpc_2.train\.parquet"):
        pull_distilled(REPOSITORY, target, overwrite=True)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before


def test_nothing_but_sets_is_replaced(hub, published, tmp_path, monkeypatch):
    """Not a run of another stage, and no directory that `~` leads to unnoticed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    run = tmp_path / "run"
    run.mkdir()
    (run / "metadata.json").write_text('{"stage": "distill"}')
    (run / "model.safetensors").write_bytes(b"weights")
    for target in (run, "~/run"):
        for overwrite in (False, True):
            with pytest.raises(UserError, match="is there already|holds more than|holds no distilled sets"):
                pull_distilled(REPOSITORY, target, overwrite=overwrite)
    assert (run / "model.safetensors").read_bytes() == b"weights"
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        pull_distilled(REPOSITORY, tmp_path / "file")


def test_shards_that_are_missing_are_noticed(hub, published, tmp_path):
    load_dataset(str(published), "dpc_2", split="train").push_to_hub("user/s", "dpc_2", num_shards=3, data_dir="dpc_2")
    HfApi().delete_file("dpc_2/train-00001-of-00003.parquet", "user/s", repo_type="dataset")
    with pytest.raises(UserError, match="not whole: of dpc_2 there are 2 files"):
        pull_distilled("user/s", tmp_path / "pulled")


def test_a_partial_pull_drops_the_report_on_the_whole(hub, published, tmp_path):
    (published / "checks.json").write_text(json.dumps(run_checks(open_distilled(published))))
    push_distilled(published, REPOSITORY)
    assert (pull_distilled(REPOSITORY, tmp_path / "all") / "checks.json").is_file()
    part = pull_distilled(REPOSITORY, tmp_path / "part", config="dpc_1")
    assert not (part / "checks.json").exists()
    push_distilled(part, "user/part")


# ---- repositories that mean harm ----


def test_names_that_lead_elsewhere_are_not_fetched(hub, published, tmp_path):
    for name in ("../evil.txt", "dpc_1/../../evil.json", "results/../../evil.json", "/etc/evil.json"):
        hub.put(REPOSITORY, name, b"{}", "dataset")
    hub.put(REPOSITORY, "setup.py", b"raise SystemExit", "dataset")
    hub.put(REPOSITORY, "toy-ddg.py", b"raise SystemExit", "dataset")
    pulled = pull_distilled(REPOSITORY, tmp_path / "deep" / "pulled")
    assert sorted(path.relative_to(pulled).as_posix() for path in pulled.rglob("*") if path.is_file()) == [
        "README.md",
        "dpc_1/train.parquet",
        "dpc_2/train.parquet",
        "metadata.json",
    ]
    assert not list(tmp_path.rglob("evil*"))


def test_a_symlink_is_fetched_as_what_it_is_a_text(hub, published, tmp_path):
    hub.put(REPOSITORY, "metadata.json", b"/etc/passwd", "dataset", listed_as="symlink")
    with pytest.raises(UserError, match=r"metadata.json of 'user/toy-ddg' is not JSON"):
        pull_distilled(REPOSITORY, tmp_path / "pulled")
    hub.put(REPOSITORY, "metadata.json", b"{}", "dataset")
    hub.put(REPOSITORY, "results/a.json", b"/etc/passwd", "dataset", listed_as="symlink")
    pulled = pull_distilled(REPOSITORY, tmp_path / "pulled")
    assert not any(path.is_symlink() for path in pulled.rglob("*"))


@pytest.mark.parametrize(
    "card", [b"---\na: &a [x, x]\nb: [*a, *a]\n---\n", b"---\n: : :\n  - [\n---\n", b"\xff\xfe", b"<script>x</script>"]
)
def test_a_hostile_card_does_not_matter(hub, published, tmp_path, card):
    """Nothing of it is read: the files say what they are."""
    hub.put(REPOSITORY, "README.md", card, "dataset")
    assert open_distilled(pull_distilled(REPOSITORY, tmp_path / "pulled")).configs == ("dpc_1", "dpc_2")
    assert len(load_demonstrations(REPOSITORY, "dpc_1")) == 12


def test_a_repository_without_sets(hub, tmp_path):
    HfApi().create_repo("user/other", repo_type="dataset")
    hub.put("user/other", "train.csv", b"text,label\na,0\n", "dataset")
    with pytest.raises(UserError, match="holds no distilled sets"):
        pull_distilled("user/other", tmp_path / "pulled")
    with pytest.raises(UserError, match="holds no distilled sets"):
        load_demonstrations("user/other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": "dpc_7"}, "has no 'dpc_7'; it has dpc_1, dpc_2"),
        ({"split": "test"}, "one split, 'train'"),
        ({"revision": "main"}, "a revision belongs to a repository"),
    ],
)
def test_a_directory_that_lacks_what_is_asked_for(tmp_path, options, message):
    directory = write_sets(tmp_path / "sets")
    with pytest.raises(UserError, match=message):
        load_demonstrations(directory, **options)


def test_the_record_names_the_source(hub, published, tmp_path):
    pulled = pull_distilled(REPOSITORY, tmp_path / "pulled", revision="main")
    record = json.loads((pulled / "metadata.json").read_text())
    commit = hub.repository(REPOSITORY).head.oid
    assert record["pulled"] == {"repository": REPOSITORY, "config": None, "revision": "main", "commit": commit}
    assert record["task"] == "toy"
