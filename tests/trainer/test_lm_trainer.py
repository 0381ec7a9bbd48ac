# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Pretraining: what is learnt, and what changes nothing."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ddg_hf.configs import GeneratorArguments
from ddg_hf.data import get_task
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.toy import make_toy_dataset
from ddg_hf.errors import UserError
from ddg_hf.evaluation.label_control import LabelProbe
from ddg_hf.losses.generation import label_discrimination_loss
from ddg_hf.models.generator import Generator
from ddg_hf.models.sequence_format import EncodedText
from ddg_hf.trainer.checkpoints import find_checkpoint
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.lm_trainer import GeneratorPretrainingTrainer
from ddg_hf.trainer.runs import run_training
from tests.trainer.helpers import assert_close, assert_equal, logged, make_rows, new_generator, weights


@pytest.fixture(scope="module")
def toy():
    """The toy task, 48 of its training rows and 16 of its validation rows."""
    dataset, spec = make_toy_dataset(), get_task("toy")
    return (
        spec,
        rows_and_labels(dataset["train"].select(range(48)), spec),
        rows_and_labels(dataset["validation"].select(range(16)), spec),
    )


@pytest.fixture
def make_trainer(toy, tmp_path):
    spec, (rows, labels), (eval_rows, eval_labels) = toy
    base = tmp_path / "base"
    new_generator(base)

    def make(name: str = "run", use_peft: bool = False, probe=None, dtype=torch.float32, **arguments):
        arguments = {
            "max_steps": 6,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "save_strategy": "no",
            "probe_samples": 0,
            "disable_tqdm": True,
        } | arguments
        args = GeneratorPretrainingConfig(output_dir=str(tmp_path / name), **arguments)
        generator = Generator.create(
            GeneratorArguments(generator=str(base), use_peft=use_peft, lora_r=4), spec, rows, max_length=60
        )
        generator.model.to(dtype)
        return GeneratorPretrainingTrainer(generator, args, rows, labels, eval_rows, eval_labels, probe)

    return make


def train(trainer, resume: str | None = None):
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_loss_decreases(make_trainer):
    trainer = make_trainer(max_steps=40, learning_rate=3e-3)
    before = trainer.evaluate()["eval_nll"]
    losses = [line["loss"] for line in logged(train(trainer))]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert trainer.evaluate()["eval_nll"] < before - 0.5


def test_logged_loss_is_the_mean_over_samples(make_trainer):
    trainer = make_trainer(per_device_train_batch_size=48, max_steps=1)
    expected = trainer.generator.nll(trainer.train_dataset.samples).mean().item()
    assert logged(train(trainer))[0]["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
        {"tokens_per_micro_batch": 80},
        {"tokens_per_micro_batch": 80, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("discriminative_weight", [0.0, 0.5])
def test_splitting_a_batch_changes_nothing(make_trainer, arguments, discriminative_weight):
    """In float64, as Adam divides gradients that are all but zero by themselves."""
    common = {"max_steps": 3, "dtype": torch.float64, "discriminative_weight": discriminative_weight}
    whole = train(make_trainer("whole", **common))
    split = train(make_trainer("split", **common, **arguments))
    assert_close(weights(split), weights(whole), atol=1e-6)
    for ours, theirs in zip(logged(split), logged(whole), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resuming_is_the_same_run(make_trainer, tmp_path, accumulation):
    common = {
        "save_strategy": "steps",
        "save_steps": 3,
        "logging_steps": 2,
        "lr_scheduler_type": "cosine",
        "per_device_train_batch_size": 8 // accumulation,
        "gradient_accumulation_steps": accumulation,
        "discriminative_weight": 0.1,
    }
    straight = train(make_trainer("run", **common))
    resumed = train(make_trainer("again", **common), str(tmp_path / "run" / "checkpoint-3"))
    assert resumed.state.global_step == 6
    assert_equal(weights(resumed), weights(straight))
    assert logged(resumed) == logged(straight)
    assert resumed.state.log_history[-1]["train_loss"] == straight.state.log_history[-1]["train_loss"]


# peft reads a property of the model that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
def test_resuming_with_adapters(make_trainer, tmp_path):
    pytest.importorskip("peft")
    common = {"use_peft": True, "save_strategy": "steps", "save_steps": 3}
    straight = train(make_trainer("run", **common))
    checkpoint = tmp_path / "run" / "checkpoint-3"
    assert (checkpoint / "adapter_model.safetensors").is_file()
    resumed = train(make_trainer("again", **common), str(checkpoint))
    assert_equal(weights(resumed), weights(straight))


def test_runs_are_repeatable(make_trainer):
    first, again, other = train(make_trainer("a")), train(make_trainer("b")), train(make_trainer("c", seed=7))
    assert_equal(weights(first), weights(again))
    assert logged(first) != logged(other)


def test_discriminative_term(make_trainer):
    """The logged loss is NLL plus the weighted term over log-likelihoods of whole texts, here under all labels."""
    common = {"per_device_train_batch_size": 48, "max_steps": 1}
    plain = train(make_trainer("plain", **common)).state.log_history[0]["loss"]
    trainer = make_trainer("both", discriminative_weight=0.5, discriminative_labels=100, **common)
    samples, labels = trainer.train_dataset.samples, trainer.train_dataset.labels
    num_labels = trainer.generator.format.num_labels
    columns = []
    for k in range(num_labels):
        prefixes = [trainer.generator.format.prefix((y + k) % num_labels) for y in labels]
        changed = [EncodedText(p, s.target) for p, s in zip(prefixes, samples, strict=True)]
        columns.append(-trainer.generator.nll(changed) * torch.tensor([len(s.target) for s in samples]))
    expected = plain + 0.5 * label_discrimination_loss(torch.stack(columns, dim=1)).mean().item()
    assert train(trainer).state.log_history[0]["loss"] == pytest.approx(expected, rel=1e-3)


class WordProbe:
    """Stands in for a [`LabelProbe`]: every text belongs to label 0."""

    def accuracy(self, rows, labels) -> float:
        return sum(label == 0 for label in labels) / len(labels)


def test_run_writes_a_whole_directory_without_pickled_arguments(make_trainer, tmp_path):
    trainer = make_trainer(probe=WordProbe(), probe_samples=8, save_strategy="steps", save_steps=3)
    metrics = run_training(trainer, "pretrain", [trainer.args], task="toy")
    assert {"eval_nll", "eval_malformed_rate", "eval_probe_accuracy_on_real_rows"} <= set(metrics)
    run = tmp_path / "run"
    assert not list(run.rglob("training_args.bin"))
    names = {path.name for path in run.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "generator_format.json", "trainer_state.json"} <= names
    assert not [name for name in names if name.startswith(".")]
    record = json.loads((run / "metadata.json").read_text())
    assert record["stage"] == "pretrain" and record["metrics"] == metrics
    # The last checkpoint and the final model are the same ordinary checkpoint.
    assert_equal(load_file(run / "model.safetensors"), load_file(run / "checkpoint-6" / "model.safetensors"))
    assert Generator.load(str(run), GeneratorArguments()).nll(trainer.train_dataset.samples[:4]).isfinite().all()
    assert find_checkpoint(str(run), "true") == str(run / "checkpoint-6")


def test_an_overwriting_run_removes_old_checkpoints(make_trainer, tmp_path):
    run_training(make_trainer(save_strategy="steps", save_steps=2), "pretrain", [])
    assert {p.name for p in (tmp_path / "run").glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-6"}
    run_training(make_trainer(), "pretrain", [])
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_checkpoint_of_another_model_is_an_error(make_trainer, tmp_path):
    train(make_trainer(save_strategy="steps", save_steps=2, max_steps=2))
    new_generator(tmp_path / "base", n_layer=1)
    with pytest.raises(UserError, match="belongs to another model"):
        train(make_trainer("again"), str(tmp_path / "run" / "checkpoint-2"))


def test_loss_that_is_not_finite_is_an_error(make_trainer):
    trainer = make_trainer()
    with torch.no_grad():
        trainer.model.transformer.ln_f.weight.fill_(torch.nan)
    with pytest.raises(UserError, match="not finite at step 1"):
        trainer.train()


def test_empty_training_split_is_an_error(make_trainer):
    trainer = make_trainer()
    with pytest.raises(UserError, match="training split is empty"):
        GeneratorPretrainingTrainer(trainer.generator, trainer.args, [], [])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"discriminative_weight": -1.0}, "--discriminative_weight"),
        ({"discriminative_labels": 0}, "--discriminative_labels"),
        ({"tokens_per_micro_batch": 0}, "--tokens_per_micro_batch"),
        ({"sampling_temperature": 0.0}, "--sampling_temperature"),
    ],
)
def test_impossible_arguments(tmp_path, arguments, named):
    with pytest.raises(UserError, match=named):
        GeneratorPretrainingConfig(output_dir=str(tmp_path), **arguments)


def test_probe_learns_the_labels_of_real_rows():
    class OneHot:
        """Counts of words as embeddings."""

        def embed(self, rows):
            words = ["dull", "flat", "bad", "terrible", "warm", "funny", "great", "good"]
            return np.array([[row[0].split().count(w) for w in words] for row in rows], dtype=np.float32)

    rows, labels = make_rows(200, relevant=0.9, seed=0)
    probe = LabelProbe(OneHot(), rows, labels, max_rows=100)
    assert probe.accuracy(*make_rows(100, relevant=1.0, seed=1)) > 0.95
    assert probe.accuracy(*make_rows(100, relevant=0.0, seed=1)) < 0.05
    assert probe.predict([("good good",), ("bad bad",)]).tolist() == [1, 0]
    assert np.isnan(probe.accuracy([], []))
