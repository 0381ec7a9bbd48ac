# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishing distilled sets, with the real clients over HTTP."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import ClassLabel, load_dataset
from huggingface_hub import HfApi

from ddg_hf.errors import UserError
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import write_checks, write_distilled
from ddg_hf.hub import load_demonstrations, pull_distilled, push_distilled
from ddg_hf.quality import run_checks
from tests.hub.sets import SPEC, rows, write_results, write_sets

REPOSITORY = "user/toy-ddg"
COUNTS = {"dpc": 2, "num_sets": 2, "num_queries": 40}


@pytest.fixture
def directory(tmp_path):
    return write_sets(tmp_path / "sets")


@pytest.fixture(autouse=True)
def waits(monkeypatch, quick_retries) -> list[float]:
    """Seconds between attempts of ours, which the tests do not wait."""
    seconds = []
    monkeypatch.setattr("ddg_hf.hub.connection._wait", seconds.append)
    return seconds


def header(hub, repository=REPOSITORY) -> dict:
    return yaml.safe_load(hub.contents(repository)["README.md"].decode().split("---\n")[1])


def card_text(hub, repository=REPOSITORY) -> str:
    return hub.contents(repository)["README.md"].decode()


def commits(hub) -> int:
    return len(hub.repository(REPOSITORY).commits)


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


# ---- the card's text belongs to its user ----


def edit(text: str, words: str = "Not for medical use.") -> str:
    return text.replace("## Limitations\n", f"## Limitations\n\n{words}\n")


def edit_on_hub(hub, **changes: str) -> None:
    text = edit(card_text(hub))
    for old, new in changes.items():
        text = text.replace(f"{old}: {header(hub)[old]}", f"{old}: {new}")
    hub.put(REPOSITORY, "README.md", text.encode(), "dataset")


def edit_here(directory, words: str) -> None:
    path = directory / "README.md"
    path.write_text(edit(path.read_text(), words))


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


# ---- faults ----


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
