# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What the tests of the trainers share."""

import random
from pathlib import Path

import torch

from ddg_hf.configs import GeneratorArguments
from ddg_hf.data.samplers import epoch_batch
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.generator import Generator
from ddg_hf.models.learner import Learner
from ddg_hf.models.tiny import tiny_encoder_tokenizer
from ddg_hf.trainer.distillation_config import DistillationConfig
from ddg_hf.trainer.distillation_trainer import DistillationTrainer
from tests import tiny_models

WORDS = (("dull", "flat", "bad", "terrible"), ("warm", "funny", "great", "good"))
SPEC = TaskSpec(name="words", text_columns=("text",), label_names=("negative", "positive"), max_length=16)


def make_rows(num_rows: int, relevant: float, seed: int) -> tuple[list[tuple[str]], list[int]]:
    """Texts of two to four words; each is a word of the row's label with probability `relevant`, else of the other."""
    rng = random.Random(seed)
    labels = [i % 2 for i in range(num_rows)]
    rows = [
        (" ".join(rng.choice(WORDS[y if rng.random() < relevant else 1 - y]) for _ in range(rng.randint(2, 4))),)
        for y in labels
    ]
    return rows, labels


def new_generator(directory: Path, **overrides) -> Generator:
    """A tiny GPT-2 without dropout, its vocabulary trimmed to the task."""
    tokenizer = tiny_models.build_tiny_tokenizer()
    dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    tiny_models.make_gpt2(len(tokenizer), **(dropout | overrides)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return Generator.create(GeneratorArguments(generator=str(directory)), SPEC, make_rows(100, 0.5, seed=0)[0])


def fit(generator: Generator, rows, labels, steps: int) -> None:
    """Pretrains without a trainer."""
    samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
    optimizer = torch.optim.AdamW(generator.model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = generator.collate([samples[i] for i in epoch_batch(len(samples), 32, step, 0)])
        generator.model(**batch)["nll"].mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def make_learner(**overrides) -> Learner:
    tokenizer = tiny_encoder_tokenizer(make_rows(100, 0.5, seed=0)[0])
    return Learner(tiny_models.make_bert_classifier(2, len(tokenizer), **overrides), tokenizer)


def make_discerning_learner(steps: int = 40) -> Learner:
    """A learner whose encoder tells the labels apart before any head is drawn, as a pretrained one does."""
    learner = make_learner()
    rows, labels = make_rows(200, relevant=0.9, seed=3)
    optimizer = torch.optim.AdamW(learner.model.parameters(), lr=1e-3)
    encoded, labels_N = learner.encode(rows), torch.tensor(labels)
    for step in range(steps):
        learner.training_step(optimizer, encoded, labels_N, 32, step, 0)
    return Learner(learner.model.eval(), learner.tokenizer)


def make_encoder(learner: Learner) -> TextEncoder:
    """An encoder with the weights of the learner."""
    encoder = TextEncoder.__new__(TextEncoder)
    encoder.model, encoder.tokenizer = learner.clone().model.base_model.eval(), learner.tokenizer
    encoder.device, encoder.max_length = torch.device("cpu"), 32
    return encoder


def make_distillation_trainer(
    pretrained: str, output_dir: Path, learner: Learner | None = None, num_rows: int = 60, **arguments
):
    """A [`DistillationTrainer`] on `num_rows` rows of the task."""
    defaults = {
        "max_steps": 6,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "inner_steps": 4,
        "learner_steps": 2,
        "learner_batch_size": 8,
        "learner_learning_rate": 1e-3,
        "synthetic_per_class": 8,
        "pool_per_class": 16,
        "generate_interval": 1,
        "real_per_class": 10,
        "teacher_sets": 2,
        "probe_samples": 0,
        "disable_tqdm": True,
    }
    generator = Generator.load(pretrained, GeneratorArguments())
    learner = learner if learner is not None else make_learner()
    rows, labels = make_rows(num_rows, relevant=0.9, seed=2)
    args = DistillationConfig(output_dir=str(output_dir), **(defaults | arguments))
    return DistillationTrainer(generator, learner, make_encoder(learner), args, rows, labels, rows[:8], labels[:8])


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def logged(trainer) -> list[dict[str, float]]:
    """The training log without times."""
    timed = ("seconds_", "train_", "eval_", "total_flos", "samples_per_second", "peak_memory")
    lines = [{k: v for k, v in line.items() if not k.startswith(timed)} for line in trainer.state.log_history]
    return [line for line in lines if "loss" in line]


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert set(ours) == set(theirs)
    different = [name for name, value in ours.items() if not torch.equal(value, theirs[name])]
    assert not different, different


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], atol: float = 1e-6) -> None:
    assert set(ours) == set(theirs)
    largest = max((value - theirs[name]).abs().max().item() for name, value in ours.items())
    assert largest <= atol, largest
