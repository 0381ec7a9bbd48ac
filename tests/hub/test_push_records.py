# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Results, checks and other records that are published with the sets, and files that are not ours."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from ddg_hf.errors import UserError
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import write_checks, write_distilled
from ddg_hf.hub import load_demonstrations, pull_distilled, push_distilled
from ddg_hf.quality import run_checks
from tests.hub.published import REPOSITORY, card_text, edit, edit_here, edit_on_hub, header
from tests.hub.sets import SPEC, rows, write_results, write_sets

pytestmark = pytest.mark.usefixtures("waits")
COUNTS = {"dpc": 2, "num_sets": 2, "num_queries": 40}


# ---- what is given ----


def test_a_header_that_the_hub_refuses(hub, directory):
    with pytest.raises(UserError, match="the Hub does not take the card: .*license"):
        push_distilled(directory, REPOSITORY, license="my own")
    assert not hub.writes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "sst2", "label_names": ["negative", "positive"]}, "'sst2', whose labels are not those of 'toy'"),
        ({"distilled_sets": None, "demonstrations": "k_centers"}, "of 'k_centers' rows, not of distilled sets"),
        ({"distilled_sets": {"dpc_2": {"0": "x"}}}, "of other sets of dpc_2"),
        ({"distilled_sets": {"dpc_7": {"0": "x"}}}, "results of dpc_7, which"),
        ({"aggregates": []}, "is not the result of"),
        ({"aggregates": [{"dpc": 2}]}, "is not the result of"),
        (
            {"aggregates": [{"dpc": 2, "num_sets": 1, "num_queries": 1, "accuracy": {"mean": float("nan")}}]},
            "is not the",
        ),
        ({"scoring": None}, "is not the result of"),
        ({"split": 3}, "is not the result of"),
    ],
)
def test_results_of_something_else_are_refused(hub, directory, tmp_path, changes, message):
    results = write_results(tmp_path / "icl", directory, **changes)
    with pytest.raises(UserError, match=message):
        push_distilled(directory, REPOSITORY, results=[results])
    assert not hub.requests


def test_results_stay_with_their_rows(hub, directory, tmp_path):
    results = write_results(tmp_path / "icl", directory)
    push_distilled(directory, REPOSITORY, results=[results])
    push_distilled(directory, REPOSITORY, license="mit")
    assert "62.5 [50.0, 75.0]" in card_text(hub) and "model-index" in header(hub)
    other = write_sets(tmp_path / "other", text="another kettle")
    push_distilled(other, REPOSITORY)
    assert "62.5" not in card_text(hub) and "model-index" not in header(hub)
    assert not [name for name in hub.contents(REPOSITORY) if name.startswith("results/")]


def test_several_results_of_one_model(hub, directory, tmp_path):
    first = write_results(tmp_path / "a", directory)
    second = write_results(tmp_path / "b", directory, scoring="generate")
    push_distilled(directory, REPOSITORY, results=[first, second])
    assert {"results/icl_tiny.json", "results/icl_tiny_2.json"} <= set(hub.contents(REPOSITORY))
    push_distilled(directory, REPOSITORY, results=[second])
    assert len([name for name in hub.contents(REPOSITORY) if name.startswith("results/")]) == 2
    names = [metric["name"] for result in header(hub)["model-index"][0]["results"] for metric in result["metrics"]]
    assert len(set(names)) == len(names) == 4


def test_rounds_are_shown_where_they_are_not_all(hub, directory, tmp_path):
    results = write_results(tmp_path / "icl", directory)
    content = json.loads((results / "results.json").read_text())
    content["aggregates"].append(content["aggregates"][0] | {"rounds": 1})
    (results / "results.json").write_text(json.dumps(content))
    push_distilled(directory, REPOSITORY, results=[results])
    assert "| in context, likelihood, 1 rounds | `dpc_2` |" in card_text(hub)


def test_the_report_of_the_checks_is_in_the_card(hub, directory):
    (directory / "checks.json").write_text(json.dumps(run_checks(open_distilled(directory))))
    push_distilled(directory, REPOSITORY)
    assert "a clean report is no proof" in card_text(hub) and "checks.json" in hub.contents(REPOSITORY)


def test_a_report_on_other_rows_is_refused(hub, directory, tmp_path):
    other = open_distilled(write_sets(tmp_path / "other", text="another kettle"))
    (directory / "checks.json").write_text(json.dumps(run_checks(other)))
    with pytest.raises(UserError, match=r"checks\.json' is of other rows"):
        push_distilled(directory, REPOSITORY)
    (directory / "checks.json").write_text("[")
    with pytest.raises(UserError, match=r"checks\.json' is not JSON"):
        push_distilled(directory, REPOSITORY)
    assert not hub.requests


def test_checks_stay_with_their_rows(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    (directory / "checks.json").write_text(json.dumps(run_checks(open_distilled(directory))))
    push_distilled(directory, REPOSITORY)
    (directory / "checks.json").unlink()
    push_distilled(directory, REPOSITORY)
    assert "a clean report is no proof" in card_text(hub)
    push_distilled(write_sets(tmp_path / "other", text="another kettle"), REPOSITORY)
    assert "a clean report is no proof" not in card_text(hub) and "checks.json" not in hub.contents(REPOSITORY)


def test_more_columns_are_published_as_they_are(hub, directory):
    path = directory / "dpc_1" / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("weight", pa.array([1.0] * len(table))), path)
    push_distilled(directory, REPOSITORY)
    assert load_dataset(REPOSITORY, "dpc_1", split="train")["weight"] == [1.0] * 12


@pytest.mark.parametrize("name", ["README.md", "metadata.json", "checks.json", "dpc_1/train.parquet"])
def test_links_are_not_followed(hub, directory, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes((directory / name).read_bytes() if (directory / name).exists() else b"{}")
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(secret)
    with pytest.raises(UserError, match="symbolic link"):
        push_distilled(directory, REPOSITORY)
    assert not hub.requests


def test_a_token_in_a_text_is_found(hub, tmp_path):
    with pytest.raises(UserError, match="a text of dpc_1 contains your token"):
        push_distilled(write_sets(tmp_path / "sets", text=f"my token is {hub.token}"), REPOSITORY)
    assert not hub.requests


def test_what_cannot_be_published_makes_no_repository(hub, directory):
    with pytest.raises(UserError, match="does not take the card"):
        push_distilled(directory, REPOSITORY, license="my own", revision="v2")
    assert not hub.log("POST", r"/api/repos/create|/branch/")


def test_a_public_repository_is_not_published_to_as_a_private_one(hub, directory):
    push_distilled(directory, REPOSITORY)
    with pytest.raises(UserError, match="is public"):
        push_distilled(directory, REPOSITORY, private=True)


@pytest.mark.parametrize(
    ("revision", "message"),
    [("refs/pr/1", "is no branch"), ("0" * 40, "is no branch"), ("v1", "is no branch but a tag")],
)
def test_revisions_that_are_no_branches(hub, directory, revision, message):
    push_distilled(directory, REPOSITORY)
    HfApi().create_tag(REPOSITORY, tag="v1", repo_type="dataset")
    with pytest.raises(UserError, match=message):
        push_distilled(directory, REPOSITORY, revision=revision)


def test_a_pull_request_needs_a_repository(hub, directory):
    with pytest.raises(UserError, match="no such repository"):
        push_distilled(directory, REPOSITORY, create_pr=True)


def test_a_new_branch_begins_from_what_is_published(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY, results=[write_results(tmp_path / "icl", directory)])
    edit_on_hub(hub)
    push_distilled(directory, REPOSITORY, revision="dev")
    text = hub.contents(REPOSITORY, revision="dev")["README.md"].decode()
    assert "Not for medical use." in text and "62.5" in text
    part = pull_distilled(REPOSITORY, tmp_path / "part", config="dpc_1")
    with pytest.raises(UserError, match="holds only dpc_1"):
        push_distilled(part, REPOSITORY, revision="part")
    assert "part" not in [ref.name for ref in HfApi().list_repo_refs(REPOSITORY, repo_type="dataset").branches]


def test_files_that_are_not_ours_stay(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    theirs = {"results/human_study.json": b"{}", "results/icl_mine.json": b"[1]", "dpc_1/notes.txt": b"x"}
    for name, content in theirs.items():
        hub.put(REPOSITORY, name, content, "dataset")
    push_distilled(write_sets(tmp_path / "other", text="another kettle"), REPOSITORY)
    assert theirs.items() <= hub.contents(REPOSITORY).items()


def test_nothing_of_a_strangers_repository_is_removed_or_replaced(hub, directory):
    HfApi().create_repo(REPOSITORY, repo_type="dataset")
    theirs = {"dpc_7/train.parquet": b"x", "results/icl_x.json": b"{}", "README.md": b"# Mine\n"}
    for name, content in theirs.items():
        hub.put(REPOSITORY, name, content, "dataset")
    push_distilled(directory, REPOSITORY)
    assert {"dpc_7/train.parquet", "results/icl_x.json"} <= set(hub.contents(REPOSITORY))
    HfApi().create_repo("user/second", repo_type="dataset")
    for name in ("checks.json", "dpc_1/train.parquet"):
        hub.put("user/second", name, b"{}", "dataset")
        with pytest.raises(UserError, match="that this package has not written"):
            push_distilled(directory, "user/second")


def test_a_check_between_an_edit_and_a_push_changes_nothing_of_it(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY, results=[write_results(tmp_path / "icl", directory)])
    edit_here(directory, "Mine.")
    write_checks(directory, run_checks(open_distilled(directory)))
    assert "62.5" in (directory / "README.md").read_text()
    push_distilled(directory, REPOSITORY)
    assert "Mine." in card_text(hub) and "62.5" in card_text(hub) and "no proof" in card_text(hub)


def test_shards_give_way_to_the_file(hub, directory):
    rows = load_dataset(str(directory), "dpc_2", split="train")
    rows.push_to_hub(REPOSITORY, "dpc_2", num_shards=2, data_dir="dpc_2")
    push_distilled(directory, REPOSITORY)
    assert load_dataset(REPOSITORY, "dpc_2", split="train").to_list() == rows.to_list()
    assert load_demonstrations(REPOSITORY, "dpc_2").to_list() == rows.to_list()


def test_a_partial_copy_does_not_remove_the_rest(hub, directory, tmp_path):
    push_distilled(directory, REPOSITORY)
    part = pull_distilled(REPOSITORY, tmp_path / "part", config="dpc_1")
    with pytest.raises(UserError, match="holds only dpc_1 of 'user/toy-ddg'"):
        push_distilled(part, REPOSITORY)
    push_distilled(part, "user/part")
    assert "dpc_2/train.parquet" in hub.contents(REPOSITORY)


def test_a_damaged_answer_does_not_stay(hub, directory, tmp_path):
    """The card of the Hub is needed for the merge; a damaged copy must not be believed, nor kept."""
    push_distilled(directory, REPOSITORY)
    for n, fault in enumerate((hub.faults.corrupt, lambda path: hub.faults.truncate(path, keep=50))):
        hub.put(REPOSITORY, "README.md", edit(card_text(hub)).encode() + b"\n", "dataset")
        fault(r"/resolve/.*/README\.md")
        push_distilled(write_sets(tmp_path / f"more_{n}", sizes=(1, 2, 4 + n)), REPOSITORY)
        assert "Not for medical use." in card_text(hub) and not hub.faults.pending


def test_sets_without_a_record_are_published(hub, tmp_path):
    """As `convert` makes them of somebody else's files."""
    directory = tmp_path / "sets"
    directory.mkdir()
    losses = [type(row)(row.texts, row.label, row.set, float("nan")) for row in rows(1)]
    write_distilled(directory, {1: losses}, SPEC, {})
    (directory / "metadata.json").unlink()
    push_distilled(directory, REPOSITORY)
    assert "is not recorded" in card_text(hub)
    assert load_dataset(REPOSITORY, "dpc_1", split="train")["generator_loss"] == [None] * 12
