# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A tiny task, and tiny generators for it."""

from collections.abc import Callable
from pathlib import Path

from ddg_hf.configs import GeneratorArguments
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.models.generator import Generator
from tests import tiny_models

SINGLE = TaskSpec(name="single", text_columns=("text",), label_names=("negative", "positive"), max_length=24)
PAIR = TaskSpec(
    name="pair",
    text_columns=("premise", "hypothesis"),
    label_names=("yes", "no", "maybe"),
    field_names=("Premise", "Hypothesis"),
    max_length=24,
)
SINGLE_ROWS = [(text,) for text in tiny_models.SENTENCES[:4]]
PAIR_ROWS = [("it rains", "the street is wet"), ("a warm film", "a dull film"), ("the team won", "they lost")]


def save_base(directory: Path, build: Callable = tiny_models.make_gpt2, tokenizer=None, **overrides) -> str:
    """Saves a tiny pretrained model and its tokenizer; returns the directory."""
    tokenizer = tokenizer if tokenizer is not None else tiny_models.build_tiny_tokenizer()
    build(len(tokenizer), **overrides).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


def make_generator(directory: Path, build: Callable = tiny_models.make_gpt2, spec=SINGLE, **create) -> Generator:
    """A generator for `spec` out of a tiny pretrained model that is saved in `directory`."""
    rows = SINGLE_ROWS if spec is SINGLE else PAIR_ROWS
    arguments = GeneratorArguments(generator=save_base(directory, build))
    return Generator.create(arguments, spec, rows, **create)
