# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Publishing generators, with the real clients over HTTP."""

import json
import sys

import pytest
import yaml
from transformers import AutoModelForCausalLM

from ddg_hf import cli
from ddg_hf.trainer.runs import run_training
from tests.hub_server.clients import REPOSITORY_ROOT
from tests.trainer.helpers import make_distillation_trainer

pytestmark = pytest.mark.usefixtures("waits")

TINY = ["--task", "toy", "--learner", "tiny", "--probe_samples", "2", "--logging_steps", "1", "--eval_strategy", "no"]
MODEL = "user/toy-generator"


@pytest.fixture
def pretrain(hub, tmp_path):
    """Runs `ddg-hf pretrain` for two steps; returns the exit code."""

    def run(*options: str) -> int:
        directory = str(tmp_path / "pretrain")
        steps = ["--max_steps", "2", "--per_device_train_batch_size", "4", "--generator_config", "tiny"]
        return cli.main(
            ["pretrain", *TINY, *steps, "--output_dir", directory, "--push_to_hub", "true"]
            + ["--hub_model_id", MODEL, *options]
        )

    return run


def contents(hub, model=MODEL) -> dict[str, bytes]:
    return hub.contents(model, "model")


def card_of(hub, model=MODEL) -> tuple[dict, str]:
    _, header, text = contents(hub, model)["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(header), text


def test_a_pretrained_generator(hub, pretrain, tmp_path):
    assert pretrain("--save_strategy", "no") == 0
    files = contents(hub)
    assert {"README.md", "config.json", "model.safetensors", "metadata.json", "generator_format.json"} <= set(files)
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    everything = b"".join(content for name, content in files.items() if not name.endswith(".safetensors"))
    assert hub.token.encode() not in everything and str(tmp_path).encode() not in everything
    local = AutoModelForCausalLM.from_pretrained(tmp_path / "pretrain").state_dict()
    published = AutoModelForCausalLM.from_pretrained(MODEL).state_dict()
    assert list(published) == list(local) and all(value.equal(local[name]) for name, value in published.items())
    header, text = card_of(hub)
    assert header["library_name"] == "transformers" and header["pipeline_tag"] == "text-generation"
    assert {"ddg_hf", "pretrain"} <= set(header["tags"])
    metrics = {m["type"]: m["value"] for r in header["model-index"][0]["results"] for m in r["metrics"]}
    record = json.loads(files["metadata.json"])
    assert metrics["nll"] == pytest.approx(record["metrics"]["eval_nll"], abs=1e-5)
    assert "language-model pretraining" in text and "training split of toy" in text and f"--generator {MODEL}" in text


def test_a_distilled_generator_has_the_curve_and_its_origin(hub, pretrained, tmp_path):
    options = {"max_steps": 4, "probe_samples": 4, "push_to_hub": True, "hub_model_id": "user/words"}
    trainer = make_distillation_trainer(pretrained, tmp_path / "run", **options)
    before = {"stage": "pretrain", "arguments": {"generator": "org/base-model"}}
    run_training(trainer, "distill", [trainer.args], task="words", generator_run=before)
    header, text = card_of(hub, "user/words")
    curve = [entry["gradient_cosine"] for entry in trainer.state.log_history if "gradient_cosine" in entry]
    assert "| 1 | 2 | 3 | 4 |\n| --- | --- | --- | --- |\n| " + " | ".join(f"{v:.4f}" for v in curve) in text
    assert "gradient matching" in text and "Before that it went through `pretrain`" in text
    assert header["base_model"] == "org/base-model" and header["base_model_relation"] == "finetune"
    metrics = [m["type"] for r in header["model-index"][0]["results"] for m in r["metrics"]]
    assert "distill" in header["tags"] and "gradient_cosine" in metrics


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # as peft asks
def test_adapters_are_published_merged(hub, pretrain):
    """Of the checkpoints nothing: an adapter needs its base, which is a directory of this machine."""
    options = ["--use_peft", "true", "--lora_r", "2", "--save_strategy", "steps", "--save_steps", "1"]
    assert pretrain(*options) == 0
    assert not [name for name in contents(hub) if "adapter" in name]
    AutoModelForCausalLM.from_pretrained(MODEL)


def test_only_what_a_model_consists_of_is_published(hub, pretrain, tmp_path):
    directory = tmp_path / "pretrain"
    directory.mkdir()
    (directory / "client_secret.json").write_text("{}")
    (directory / "notes.txt").write_text(f"token: {hub.token}")
    (directory / "merges.txt").symlink_to(directory / "notes.txt")
    assert pretrain("--save_strategy", "no") == 0
    assert not {"client_secret.json", "notes.txt", "merges.txt"} & set(contents(hub))


def test_weights_of_an_earlier_model_go(hub, pretrain):
    assert pretrain("--save_strategy", "no") == 0
    hub.put(MODEL, "adapter_model.safetensors", b"old", "model")
    hub.put(MODEL, "model-00001-of-00002.safetensors", b"old", "model")
    hub.put(MODEL, "notes.md", b"mine", "model")
    assert pretrain("--save_strategy", "no", "--overwrite", "true") == 0
    names = set(contents(hub))
    assert "notes.md" in names and not {"adapter_model.safetensors", "model-00001-of-00002.safetensors"} & names


@pytest.mark.parametrize("card", [b"---\na: &a [x]\nb: *a\n---\n", b"\xff\xfe"])
def test_a_broken_card_does_not_take_the_model_away(hub, pretrain, tmp_path, caplog, card):
    directory = tmp_path / "pretrain"
    directory.mkdir()
    (directory / "README.md").write_bytes(card)
    assert pretrain("--save_strategy", "no") == 2
    assert (directory / "model.safetensors").is_file() and (directory / "metadata.json").is_file()
    assert "no model card was written" in caplog.text
    (directory / "README.md").unlink()
    assert pretrain("--save_strategy", "no", "--resume_from_checkpoint", "true") == 0
    assert "model.safetensors" in contents(hub)


def test_a_broken_card_on_the_hub_does_not_end_a_training(hub, pretrain, caplog):
    assert pretrain("--save_strategy", "no") == 0
    hub.put(MODEL, "README.md", b"\xff\xfe", "model")
    assert pretrain("--save_strategy", "steps", "--save_steps", "1", "--overwrite", "true") == 2
    assert "the training goes on" in caplog.text


def test_text_that_was_edited_here_is_published_and_kept(hub, pretrain, tmp_path):
    assert pretrain("--save_strategy", "no") == 0
    path = tmp_path / "pretrain" / "README.md"
    path.write_text(
        path.read_text().replace("## Citation", "Mine.\n\n## Citation").replace("language: en", "language: de")
    )
    for _ in range(2):
        assert pretrain("--save_strategy", "no", "--resume_from_checkpoint", "true") == 0
        header, text = card_of(hub)
        assert "Mine." in text and header["language"] == "de"


def test_a_finished_run_is_published_as_it_was_made(hub, pretrain):
    """Whatever the command that publishes it says."""
    assert pretrain("--save_strategy", "no", "--learning_rate", "0.001") == 0
    assert pretrain("--save_strategy", "no", "--resume_from_checkpoint", "true", "--learning_rate", "0.5") == 0
    assert "| `learning_rate` | `0.001` |" in card_of(hub)[1]


def test_arguments_of_trainer(hub, pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path / "run", max_steps=1, hub_model_id="user/words")
    trainer.train()
    trainer.push_to_hub(
        tags="mine", dataset="org/data", model_name="x", finetuned_from="org/base", tasks="a", license="mit"
    )
    header, _ = card_of(hub, "user/words")
    assert "mine" in header["tags"] and header["datasets"] == "org/data" and header["license"] == "mit"


@pytest.mark.parametrize("name", ["user/a b", "a/b/c"])
def test_names_that_are_none(hub, pretrain, capsys, name):
    assert pretrain("--hub_model_id", name) == 2
    assert "is no name of a repository" in capsys.readouterr().err


def test_push_to_hub_from_python(hub, pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path / "run", max_steps=1, hub_model_id="user/words")
    trainer.train()
    assert trainer.push_to_hub("Mine").startswith(hub.url)
    assert {"README.md", "model.safetensors"} <= set(contents(hub, "user/words"))
    assert hub.repository("user/words", "model").head.title == "Mine"


def test_text_that_was_edited_on_the_hub_survives(hub, pretrain):
    assert pretrain("--save_strategy", "no") == 0
    edited = contents(hub)["README.md"].decode().replace("## Citation", "Mine.\n\n## Citation")
    hub.put(MODEL, "README.md", edited.replace("library_name", "license: mit\nlibrary_name").encode(), "model")
    assert pretrain("--save_strategy", "no", "--overwrite", "true", "--seed", "7") == 0
    header, text = card_of(hub)
    assert "Mine." in text and "| `seed` | `7` |" in text and header["license"] == "mit"


def test_checkpoints_are_published_whole(hub, pretrain):
    options = ["--save_strategy", "steps", "--save_steps", "1", "--hub_strategy", "checkpoint"]
    assert pretrain(*options) == 0
    files = contents(hub)
    assert "last-checkpoint/trainer_state.json" in files and "last-checkpoint/optimizer.pt" in files
    assert not [name for name in files if "training_args" in name]
    messages = [commit.title for commit in hub.repository(MODEL, "model").commits.values()]
    assert any("Training in progress, step 1" in message for message in messages)


def test_the_training_survives_a_hub_that_fails_meanwhile(hub, pretrain, tmp_path, caplog):
    hub.faults.status(500, r"/commit/", "POST", times=5)  # as often as one push tries
    assert pretrain("--save_strategy", "steps", "--save_steps", "1") == 0
    assert "the training goes on" in caplog.text
    assert "model.safetensors" in contents(hub)


def test_a_failed_end_keeps_the_run_and_is_repeated(hub, pretrain, tmp_path, capsys):
    hub.faults.status(500, r"/commit/", "POST", times=100)
    assert pretrain("--save_strategy", "no") == 2
    assert "is finished and saved, but: cannot publish" in capsys.readouterr().err
    assert (tmp_path / "pretrain" / "metadata.json").is_file() and "model.safetensors" not in contents(hub)
    hub.faults.clear()
    assert pretrain("--save_strategy", "no", "--resume_from_checkpoint", "true") == 0
    assert "model.safetensors" in contents(hub)
    assert "nll" in str(card_of(hub)[0]["model-index"])


@pytest.mark.parametrize(
    ("token", "message"), [("", "--push_to_hub needs a token"), ("hf_wrong", "does not know your")]
)
def test_a_missing_token_is_found_before_the_training(hub, pretrain, tmp_path, capsys, monkeypatch, token, message):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    assert pretrain("--save_strategy", "no") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "pretrain" / "metadata.json").exists()


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("token", ["", None], ids=["without a token", "with one"])
def test_two_processes_publish_once(hub, tmp_path, token):
    config = str(REPOSITORY_ROOT / "accelerate_configs" / "cpu_ddp.yaml")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config, "recipes/pretrain.py"]
    command += [*TINY, "--generator_config", "tiny", "--max_steps", "1", "--per_device_train_batch_size", "2"]
    command += ["--save_strategy", "no", "--output_dir", str(tmp_path / "run")]
    done = hub.run(*command, "--push_to_hub", "true", "--hub_model_id", MODEL, token=token)
    if token is None:
        assert done.returncode == 0, done.stderr
        assert len(hub.log("POST", r"/commit/")) == 1 and "model.safetensors" in contents(hub)
    else:
        assert done.returncode != 0 and "error: --push_to_hub needs a token" in done.stderr
        assert not (tmp_path / "run" / "metadata.json").exists()
