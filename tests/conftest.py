# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Shared fixtures. The suite needs no network: models and tokenizers are tiny, random and built on the spot.

The ``make_*`` fixtures return the builders of `tests.tiny_models`; call them as often as needed, each call gives a new
model. Tokenizer fixtures return a fresh copy, because tests add tokens to them.
"""

from __future__ import annotations

import os
import tempfile

# Before any Hugging Face library is imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# What the tests keep for later must not outlive them, nor come from elsewhere. Their subprocesses inherit it.
os.environ["DDG_HF_HOME"] = tempfile.mkdtemp(prefix="ddg_hf_tests_")

import copy
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests import tiny_models

REPOSITORY_ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(min(2, torch.get_num_threads()))


def pytest_unconfigure(config):
    shutil.rmtree(os.environ["DDG_HF_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    return tiny_models.build_tiny_tokenizer()


@pytest.fixture(scope="session")
def _encoder_tokenizer() -> PreTrainedTokenizerFast:
    return tiny_models.build_encoder_tokenizer()


@pytest.fixture
def tiny_tokenizer(_tiny_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Byte-level BPE tokenizer with bos, eos, pad and unk."""
    return copy.deepcopy(_tiny_tokenizer)


@pytest.fixture
def encoder_tokenizer(_encoder_tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """WordPiece tokenizer with [CLS] and [SEP]."""
    return copy.deepcopy(_encoder_tokenizer)


@pytest.fixture
def make_gpt2() -> Callable:
    return tiny_models.make_gpt2


@pytest.fixture
def make_llama() -> Callable:
    return tiny_models.make_llama


@pytest.fixture
def make_qwen2() -> Callable:
    return tiny_models.make_qwen2


@pytest.fixture
def make_mistral() -> Callable:
    return tiny_models.make_mistral


@pytest.fixture
def make_gemma3() -> Callable:
    return tiny_models.make_gemma3


@pytest.fixture
def make_bert() -> Callable:
    return tiny_models.make_bert


@pytest.fixture
def make_bert_classifier() -> Callable:
    return tiny_models.make_bert_classifier


@pytest.fixture
def make_roberta_classifier() -> Callable:
    return tiny_models.make_roberta_classifier


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory with `<task>/{train,validation,test}.parquet` of real data; the test is skipped where it is absent."""
    default = REPOSITORY_ROOT.parent / "shared" / "data"
    path = Path(os.environ.get("DDG_HF_DATA", default))
    if not (path / "sst2" / "train.parquet").is_file():
        pytest.skip(f"no real data: {path / 'sst2' / 'train.parquet'} does not exist (set DDG_HF_DATA to its folder)")
    return path


@pytest.fixture
def folder_with_rights():
    """A directory in which rights count: a superuser, who has them all, is an ordinary user for this test."""
    if not hasattr(os, "geteuid"):
        pytest.skip("rights are those of POSIX")
    superuser = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="ddg_hf_rights_"))
    try:
        if superuser:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield folder
    finally:
        if superuser:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)  # or only a superuser could remove what is in it
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _restore_random_state():
    """Give every test the same starting point, and leave no trace of it for the next."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234)
        yield


class _RaiseDeprecations(logging.Handler):
    """transformers announces most deprecations through its logger, where pytest's warning filters do not see them."""

    def emit(self, record: logging.LogRecord) -> None:
        if "deprecat" in record.getMessage().lower():
            raise DeprecationWarning(record.getMessage())


@pytest.fixture(scope="session", autouse=True)
def _deprecations_are_errors():
    handler = _RaiseDeprecations(level=logging.WARNING)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> str:
    """Directory of a tiny generator that writes words of both labels, more often of the label asked for."""
    from tests.trainer import helpers  # imports most of the package: only where it is needed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = helpers.new_generator(tmp_path_factory.mktemp("base"))
        helpers.fit(generator, *helpers.make_rows(400, relevant=0.6, seed=1), steps=120)
    directory = tmp_path_factory.mktemp("pretrained")
    generator.save_pretrained(directory)
    return str(directory)
