# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A task of four-word texts, and a tiny generator pretrained on it."""

import pytest
import torch

from tests.trainer import helpers


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> str:
    """Directory of a tiny generator that writes words of both labels, more often of the label asked for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = helpers.new_generator(tmp_path_factory.mktemp("base"))
        helpers.fit(generator, *helpers.make_rows(400, relevant=0.6, seed=1), steps=120)
    directory = tmp_path_factory.mktemp("pretrained")
    generator.save_pretrained(directory)
    return str(directory)
