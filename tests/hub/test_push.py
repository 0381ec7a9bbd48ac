# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishing distilled sets, with the real clients over HTTP: what goes up, and who may."""

import json

import pytest
from datasets import ClassLabel, load_dataset

from ddg_hf.errors import UserError
from ddg_hf.hub import push_distilled
from tests.hub.published import REPOSITORY, card_text, header
from tests.hub.sets import SPEC, write_results, write_sets

pytestmark = pytest.mark.usefixtures("waits")


def test_what_is_published_loads_with_rows_and_features(hub, directory):
    published = push_distilled(directory, REPOSITORY)
    assert published.changed and published.commit == hub.repository(REPOSITORY).head.oid
    assert sorted(hub.contents(REPOSITORY)) == [
        ".gitattributes",
        "README.md",
        "dpc_1/train.parquet",
        "dpc_2/train.parquet",
        "metadata.json",
    ]
    for config in ("dpc_1", "dpc_2"):
        local, remote = load_dataset(str(directory), config)["train"], load_dataset(REPOSITORY, config)["train"]
        assert remote.features == local.features
        assert remote.to_list() == local.to_list()
    assert remote.features["label"] == ClassLabel(names=list(SPEC.label_names))
    assert len(hub.log("POST", r"/commit/")) == 1


def test_the_header_describes_the_sets(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY, results=[write_results(tmp_path / "icl", directory)], license="mit")
    found = header(hub)
    assert found["license"] == "mit" and found["language"] == ["en"]
    assert found["task_categories"] == ["text-classification"] and found["task_ids"] == ["intent-classification"]
    assert found["size_categories"] == ["n<1K"] and found["source_datasets"] and "ddg_hf" in found["tags"]
    assert [config["config_name"] for config in found["configs"]] == ["dpc_1", "dpc_2"]
    label = next(feature for feature in found["dataset_info"][0]["features"] if feature["name"] == "label")
    assert list(label["dtype"]["class_label"]["names"].values()) == list(SPEC.label_names)
    metric = found["model-index"][0]["results"][0]["metrics"][0]
    assert metric["type"] == "accuracy" and metric["value"] == 0.625
    assert (metric["args"]["low"], metric["args"]["high"]) == (0.5, 0.75)
    assert "| `tiny` | in context, likelihood | `dpc_2` | validation | 2 | 40 | 62.5 [50.0, 75.0] |" in card_text(hub)


def test_paths_and_secrets_of_this_machine_are_not_published(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY, results=[write_results(tmp_path / "icl", directory)])
    everything = b"\n".join(hub.contents(REPOSITORY).values())
    assert b"/home/somebody" not in everything and str(tmp_path).encode() not in everything
    assert b"hf_abcdefghijkl" not in everything
    assert json.loads(hub.contents(REPOSITORY)["metadata.json"])["arguments"]["generator"] == "toy"


def test_a_second_push_of_the_same_does_nothing(hub, directory):
    first = push_distilled(directory, REPOSITORY)
    hub.requests.clear()
    second = push_distilled(directory, REPOSITORY)
    assert not second.changed and second.commit == first.commit
    assert not hub.writes


def test_configurations_that_are_gone_are_removed_and_other_files_stay(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    hub.put(REPOSITORY, "notes.txt", b"mine", "dataset")
    push_distilled(write_sets(tmp_path / "other", sizes=(2, 3)), REPOSITORY)
    assert {"dpc_2/train.parquet", "dpc_3/train.parquet", "notes.txt"} <= set(hub.contents(REPOSITORY))
    assert "dpc_1/train.parquet" not in hub.contents(REPOSITORY)
    assert [config["config_name"] for config in header(hub)["configs"]] == ["dpc_2", "dpc_3"]


# ---- who may ----


def test_private_repositories_are_private(hub, directory, monkeypatch):
    push_distilled(directory, REPOSITORY, private=True)
    assert hub.repository(REPOSITORY).private
    for token, message in ((hub.other_token, "does not allow it"), ("hf_notatoken", "does not know your token")):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(UserError, match=message):
            push_distilled(directory, REPOSITORY)


def test_pushing_needs_a_token(hub, directory, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="not logged in"):
        push_distilled(directory, REPOSITORY)


def test_other_peoples_repositories_are_refused(hub, directory):
    with pytest.raises(UserError, match="does not allow it"):
        push_distilled(directory, f"{hub.other_user}/toy-ddg")
    assert not hub.writes


@pytest.mark.parametrize("name", ["toy-ddg", "a/b/c", "user/..", "user/a b", ""])
def test_names_that_are_none(hub, directory, name):
    with pytest.raises(UserError, match="no name of a repository"):
        push_distilled(directory, name)


def test_a_file_with_the_token_is_not_published(hub, directory):
    (directory / "README.md").write_text(f"# Kettles\n\nMine: {hub.token}\n")
    with pytest.raises(UserError, match="contains your token") as error:
        push_distilled(directory, REPOSITORY)
    assert hub.token not in str(error.value)
    assert not hub.log("POST", r"/commit/")


# ---- branches and pull requests ----


def test_a_branch_is_made(hub, directory):
    push_distilled(directory, REPOSITORY, revision="v2")
    assert "dpc_1/train.parquet" in hub.contents(REPOSITORY, revision="v2")
    assert "dpc_1/train.parquet" not in hub.contents(REPOSITORY)


def test_a_pull_request_leaves_the_branch_alone(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    before = hub.repository(REPOSITORY).head.oid
    published = push_distilled(write_sets(tmp_path / "more", sizes=(1, 2, 4)), REPOSITORY, create_pr=True)
    assert "/discussions/1" in published.url
    assert hub.repository(REPOSITORY).head.oid == before
    assert "dpc_4/train.parquet" in hub.contents(REPOSITORY, revision="refs/pr/1")


def test_a_pull_request_is_not_opened_twice(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    hub.faults.lost_answer(r"/commit/")
    with pytest.raises(UserError, match="look whether it is there"):
        push_distilled(write_sets(tmp_path / "more", sizes=(1, 2, 4)), REPOSITORY, create_pr=True)
    assert len(hub.repository(REPOSITORY).discussions) == 1
