# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The card's text belongs to its user, whatever is published."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from ddg_hf.errors import UserError
from ddg_hf.hub import pull_distilled, push_distilled
from tests.hub.published import REPOSITORY, card_text, edit_here, edit_on_hub, header
from tests.hub.sets import write_sets

pytestmark = pytest.mark.usefixtures("waits")


@pytest.mark.parametrize("same_directory", [True, False])
def test_an_edit_on_the_hub_survives(hub, directory, tmp_path, same_directory):
    push_distilled(directory, REPOSITORY, license="mit")
    edit_on_hub(hub, license="cc-by-4.0")
    push_distilled(directory if same_directory else write_sets(tmp_path / "more", sizes=(1, 2, 4)), REPOSITORY)
    assert "Not for medical use." in card_text(hub)
    assert header(hub)["license"] == "cc-by-4.0" and "ddg_hf" in header(hub)["tags"]


def test_an_edit_in_the_directory_survives_everywhere(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    edit_here(directory, "Mine.")
    push_distilled(directory, REPOSITORY)
    assert "Mine." in card_text(hub)
    push_distilled(directory, "user/another")
    assert "Mine." in card_text(hub, "user/another") and "Mine." in (directory / "README.md").read_text()
    push_distilled(pull_distilled(REPOSITORY, tmp_path / "pulled"), "user/copy")
    assert "Mine." in card_text(hub, "user/copy")
    # From a directory that has not seen the edit.
    push_distilled(write_sets(tmp_path / "fresh", text="another kettle"), REPOSITORY)
    assert "Mine." in card_text(hub)


def test_edits_in_both_places_need_a_choice(hub, directory):
    push_distilled(directory, REPOSITORY)
    edit_on_hub(hub)
    edit_here(directory, "Mine.")
    before = hub.repository(REPOSITORY).head.oid
    with pytest.raises(UserError, match="--card local or --card hub"):
        push_distilled(directory, REPOSITORY)
    assert hub.repository(REPOSITORY).head.oid == before
    push_distilled(directory, REPOSITORY, prefer_card="local")
    assert "Mine." in card_text(hub) and "medical" not in card_text(hub)


def test_a_card_that_somebody_else_wrote_is_kept(hub, directory):
    HfApi().create_repo(REPOSITORY, repo_type="dataset")
    theirs = (
        b"---\nconfigs:\n- config_name: default\n  data_files: data/train.parquet\n---\n# Mine\n\nAll about kettles.\n"
    )
    hub.put(REPOSITORY, "README.md", theirs, "dataset")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["a"]}), sink)
    hub.put(REPOSITORY, "data/train.parquet", sink.getvalue().to_pybytes(), "dataset")
    push_distilled(directory, REPOSITORY)
    assert "All about kettles." in card_text(hub) and "How to load" in card_text(hub)
    assert [config["config_name"] for config in header(hub)["configs"]] == ["dpc_1", "dpc_2", "default"]
    assert load_dataset(REPOSITORY, "default", split="train")["text"] == ["a"]
    assert len(load_dataset(REPOSITORY, "dpc_1", split="train")) == 12


def test_somebody_elses_record_is_not_replaced(hub, directory):
    HfApi().create_repo(REPOSITORY, repo_type="dataset")
    hub.put(REPOSITORY, "metadata.json", b'{"camera": "x"}', "dataset")
    with pytest.raises(UserError, match="a metadata.json that this package has not written"):
        push_distilled(directory, REPOSITORY)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (b"---\na: &a [x, x]\nb: [*a, *a]\n---\n", "aliases"),
        (b"---\n: : :\n  - [\n---\n", "YAML of README.md"),
        (b"---\n- a\n- b\n---\n", "no mapping"),
        (b"---\nx: !!python/object/apply:os.system ['true']\n---\n", "YAML of README.md"),
        (b"\xff\xfe not text", "not UTF-8"),
        (b"a" * (2**20 + 1), "bytes"),
    ],
    ids=["aliases", "broken", "list", "code", "bytes", "long"],
)
def test_a_hostile_card_is_refused(hub, directory, card, message):
    HfApi().create_repo(REPOSITORY, repo_type="dataset")
    hub.put(REPOSITORY, "README.md", card, "dataset")
    before = hub.repository(REPOSITORY).head.oid
    with pytest.raises(UserError, match=message):
        push_distilled(directory, REPOSITORY)
    assert hub.repository(REPOSITORY).head.oid == before
