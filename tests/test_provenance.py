# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Records without secrets, and directories that are whole."""

import json
import os
from dataclasses import dataclass, field

import pytest

from ddg_hf.errors import UserError
from ddg_hf.provenance import METADATA_FILE, atomic_directory, check_output_dir, redact, run_metadata, write_json

SECRET = "hf_" + "a1B2" * 8


@pytest.mark.parametrize(
    "key", ["token", "hub_token", "HUB_TOKEN", "wandb_api_key", "password", "client_secret", "k", "api_key"]
)
def test_secrets_are_redacted_by_key_at_any_depth(key):
    assert redact({key: "value"}) == {key: "<redacted>"}
    nested = {"a": [{"b": ({key: "value", "c": 1},)}], "d": {"e": {key: ["value", "other"]}}}
    text = json.dumps(redact(nested))
    assert "value" not in text and "other" not in text
    assert redact(nested)["a"][0]["b"][0]["c"] == 1
    assert nested["a"][0]["b"][0][key] == "value", "the original stays"


def test_secrets_are_redacted_by_their_look():
    content = {"command": ["run", f"--x={SECRET}"], "note": f"with sk-{'q' * 20} in it"}
    text = json.dumps(redact(content))
    assert SECRET not in text and "qqqq" not in text and "with <redacted> in it" in text


def test_what_is_no_secret_stays():
    content = {
        "tokens_per_micro_batch": 4096,
        "label_column": "label",
        "max_new_tokens": "7",
        "token": None,
        "hub_token": "",
        "keys": "a",
        "monkey": "b",
        "seed": 42,
        "rate": 0.5,
        "on": True,
    }
    assert redact(content) == content


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"name": "é"})
    assert path.read_text(encoding="utf-8") == '{\n  "name": "é"\n}\n'

    class Unwritable:
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(RuntimeError):
        write_json(path, {"x": Unwritable()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é"}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_atomic_directory_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out" / "set"
    with atomic_directory(path) as temporary:
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
        assert temporary.parent == path.parent, "on the same file system, or the renaming is no renaming"
    assert (path / "a.txt").read_text() == "a"
    assert os.listdir(path.parent) == ["set"]


def test_atomic_directory_replaces_the_old_one(tmp_path):
    path = tmp_path / "set"
    for name in ("old", "new"):
        with atomic_directory(path) as temporary:
            (temporary / f"{name}.txt").write_text(name)
            write_json(temporary / METADATA_FILE, {})
    assert sorted(os.listdir(path)) == [METADATA_FILE, "new.txt"]
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "set"
    with pytest.raises(error), atomic_directory(path) as temporary:
        (temporary / "a.txt").write_text("a")
        raise error
    assert os.listdir(tmp_path) == []
    path.mkdir()
    (path / METADATA_FILE).write_text("old")
    with pytest.raises(error), atomic_directory(path) as temporary:
        raise error
    assert os.listdir(tmp_path) == ["set"] and os.listdir(path) == [METADATA_FILE]


def test_failed_renaming_puts_the_old_directory_back(tmp_path, monkeypatch):
    path = tmp_path / "set"
    path.mkdir()
    (path / METADATA_FILE).write_text("old")
    replace = os.replace

    def failing(source, target):
        if target == path and os.path.basename(source).startswith(".set.") and ".old." not in str(source):
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no space"), atomic_directory(path) as temporary:
        (temporary / "new.txt").write_text("new")
    assert os.listdir(tmp_path) == ["set"] and os.listdir(path) == [METADATA_FILE]


def test_output_directory(tmp_path):
    with pytest.raises(UserError, match="--output_dir is missing"):
        check_output_dir(None, overwrite=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        check_output_dir(str(tmp_path / "file"), overwrite=True)
    run = tmp_path / "run"
    assert check_output_dir(str(run), overwrite=False) == run
    run.mkdir()
    write_json(run / METADATA_FILE, {})
    with pytest.raises(UserError, match="--overwrite"):
        check_output_dir(str(run), overwrite=False)
    assert check_output_dir(str(run), overwrite=True) == run
    assert check_output_dir(str(run), overwrite=False, resume=True) == run


def test_run_metadata(tmp_path):
    @dataclass
    class Arguments:
        seed: int = 3
        hub_token: str = SECRET
        nested: dict = field(default_factory=lambda: {"token": "x" * 9})

    record = run_metadata("generate", [Arguments()], task="sst2")
    write_json(tmp_path / "a.json", record)
    text = (tmp_path / "a.json").read_text()
    assert SECRET not in text and "xxx" not in text
    assert record["arguments"]["seed"] == 3
    assert (record["stage"], record["task"]) == ("generate", "sst2")
    assert {"python", "torch", "transformers"} <= set(record["versions"])


def test_replacing_a_directory_never_removes_other_files(tmp_path):
    """Neither the generators beside a distilled set, nor the run of another stage, nor the working directory."""
    runs = tmp_path / "runs"
    (runs / "pretrain").mkdir(parents=True)
    (runs / "pretrain" / "model.safetensors").write_text("weights")
    for attempt in (
        lambda: check_output_dir(str(runs), False, "generate", replaces=True),
        lambda: check_output_dir(str(runs), True, "generate", replaces=True),
        lambda: atomic_directory(runs).__enter__(),
    ):
        with pytest.raises(UserError, match="not a finished run"):
            attempt()
    write_json(runs / "metadata.json", {"stage": "pretrain"})
    with pytest.raises(UserError, match="holds a run of `pretrain`"):
        check_output_dir(str(runs), True, "generate", replaces=True)
    assert (runs / "pretrain" / "model.safetensors").read_text() == "weights"


def test_working_directory_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="working directory"):
        check_output_dir(".", True, "generate", replaces=True)


def test_unfinished_training_run_is_kept(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    with pytest.raises(UserError, match="--resume_from_checkpoint true"):
        check_output_dir(str(tmp_path), False, "pretrain")
    assert check_output_dir(str(tmp_path), False, "pretrain", resume=True) == tmp_path
    assert check_output_dir(str(tmp_path), True, "pretrain") == tmp_path
