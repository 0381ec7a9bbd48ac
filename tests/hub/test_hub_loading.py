# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`datasets` and `transformers` against the test Hub, in this process and in a subprocess."""

import sys

import datasets
import httpx2
import pyarrow
import pyarrow.parquet
import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import HfApi, snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

REPO = "user/sets"
FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
)
ROWS = {5: {"text": ["bad", "good"], "label": [0, 1]}, 10: {"text": ["worse", "fine", "dull"], "label": [0, 1, 0]}}
CARD = """---
license: mit
configs:
{configs}
---
"""


@pytest.fixture
def repo(hub, tmp_path) -> str:
    """A private dataset repository with two configs."""
    configs = []
    for number, rows in ROWS.items():
        table = pyarrow.table(rows, schema=FEATURES.arrow_schema)
        (tmp_path / f"dpc_{number}").mkdir()
        pyarrow.parquet.write_table(table, tmp_path / f"dpc_{number}" / "train.parquet")
        path = f"dpc_{number}/train.parquet"
        configs.append(f"- config_name: dpc_{number}\n  data_files:\n  - split: train\n    path: {path}")
    (tmp_path / "README.md").write_text(CARD.format(configs="\n".join(configs)))
    HfApi().create_repo(REPO, repo_type="dataset", private=True)
    HfApi().upload_folder(repo_id=REPO, repo_type="dataset", folder_path=tmp_path)
    return REPO


@pytest.mark.parametrize("number", ROWS)
def test_load_dataset(hub, repo, number):
    loaded = datasets.load_dataset(repo, f"dpc_{number}", split="train")
    assert loaded.features == FEATURES and loaded.to_dict() == ROWS[number]
    streamed = datasets.load_dataset(repo, f"dpc_{number}", split="train", streaming=True)
    assert streamed.features == FEATURES and list(streamed) == list(loaded)
    other = {5: 10, 10: 5}[number]
    oid = hub.repository(REPO).head.tree[f"dpc_{other}/train.parquet"].sha256
    assert not hub.log("GET", oid), "the other config is not downloaded"


def test_load_dataset_of_a_revision(hub, repo):
    old = hub.repository(REPO).head.oid
    HfApi().create_tag(REPO, tag="v1", repo_type="dataset")
    hub.put(REPO, "README.md", b"no configs")
    for revision in ("v1", old):
        assert datasets.load_dataset(repo, "dpc_5", split="train", revision=revision).to_dict() == ROWS[5]


@pytest.mark.parametrize("token", [False, "other"])
def test_a_private_dataset_is_for_its_owner(hub, repo, token):
    with pytest.raises(DatasetNotFoundError):
        datasets.load_dataset(repo, "dpc_5", token=token and hub.other_token)


def test_push_to_hub_of_a_dataset(hub):
    """The way `datasets` itself writes to the Hub works, too."""
    made = datasets.Dataset.from_dict(ROWS[5], features=FEATURES)
    made.push_to_hub("user/made", "dpc_5", split="train")
    assert datasets.load_dataset("user/made", "dpc_5", split="train").to_dict() == ROWS[5]


def test_a_model(hub, make_gpt2, tiny_tokenizer):
    model = make_gpt2()
    model.push_to_hub("user/tiny", private=True)
    tiny_tokenizer.push_to_hub("user/tiny")
    loaded = AutoModelForCausalLM.from_pretrained("user/tiny")
    assert all(value.equal(loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert AutoTokenizer.from_pretrained("user/tiny")("good")["input_ids"] == tiny_tokenizer("good")["input_ids"]
    head = hub.repository("user/tiny", "model").head.oid
    model.push_to_hub("user/tiny")
    assert hub.repository("user/tiny", "model").head.oid == head
    with pytest.raises(OSError, match="not a valid model identifier"):
        AutoModelForCausalLM.from_pretrained("user/tiny", token=hub.other_token, force_download=True)


def test_a_trainer(hub, make_gpt2, tiny_tokenizer, tmp_path):
    """A repository of its own name in the user's namespace, with the checkpoint of the end of training."""
    rows = datasets.Dataset.from_dict({"input_ids": [[5, 6, 7]] * 4, "labels": [[5, 6, 7]] * 4})
    arguments = TrainingArguments(
        output_dir=tmp_path / "tiny", max_steps=1, push_to_hub=True, hub_private_repo=True, use_cpu=True, save_steps=1
    )
    trainer = Trainer(make_gpt2(), arguments, train_dataset=rows, processing_class=tiny_tokenizer)
    trainer.train()
    trainer.push_to_hub(commit_message="End", tags=["test"])
    repository = hub.repository("user/tiny", "model")
    assert repository.private and repository.head.title == "End"
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(
        hub.contents("user/tiny", "model")
    )
    assert "test" in HfApi().model_info("user/tiny").tags
    loaded = AutoModelForCausalLM.from_pretrained("user/tiny")
    assert all(value.equal(loaded.state_dict()[name]) for name, value in trainer.model.state_dict().items())


def test_the_cache_stands_in_for_a_hub_that_is_gone(hub, repo, quick_retries):
    """After more than a minute of retries, which a user has to sit out."""
    datasets.load_dataset(repo, "dpc_5", split="train")
    hub.stop()
    assert datasets.load_dataset(repo, "dpc_5", split="train").to_dict() == ROWS[5]
    assert sum(quick_retries) > 60
    with pytest.raises(httpx2.ConnectError):
        datasets.load_dataset(repo, "dpc_10", split="train")


@pytest.mark.parametrize("path", ["../outside.txt", "a/../../outside.txt", "/outside.txt"])
def test_the_client_writes_nothing_outside_its_folder(hub, repo, tmp_path, path):
    hub.put(REPO, path, b"x")
    with pytest.raises((ValueError, OSError)):
        snapshot_download(REPO, repo_type="dataset", local_dir=tmp_path / "a" / "local")
    assert not list(tmp_path.rglob("outside.txt"))


def test_subprocesses_talk_to_the_hub(hub, repo):
    code = """
import datasets, huggingface_hub
print(huggingface_hub.whoami()["name"], datasets.load_dataset("user/sets", "dpc_5", split="train")["label"][:])
"""
    assert hub.python(code).strip() == "user [0, 1]"
    whoami = (sys.executable, "-m", "huggingface_hub.cli.hf", "auth", "whoami")
    process = hub.run(*whoami, token=hub.other_token)
    assert process.returncode == 0 and "other" in process.stdout
    process = hub.run(*whoami, token="")
    assert "Not logged in" in process.stdout + process.stderr
