# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Models that cannot be loaded: one line that says why."""

import json

import pytest

from ddg_hf.configs import LearnerArguments, ModelArguments
from ddg_hf.errors import UserError
from ddg_hf.models import loading
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.learner import Learner
from ddg_hf.models.loading import load_causal_lm
from tests import tiny_models

ROWS = [("a warm and funny film",), ("the plot is dull",), ("film",)]


def load_generator(path):
    return load_causal_lm(str(path), ModelArguments())


def load_learner(path):
    return Learner.load(LearnerArguments(learner=str(path)), 2, device="cpu")


def load_encoder(path):
    return TextEncoder(LearnerArguments(learner=str(path)), device="cpu")


@pytest.fixture(params=[load_generator, load_learner, load_encoder])
def load(request):
    return request.param


@pytest.fixture
def saved(tmp_path, load, tiny_tokenizer, encoder_tokenizer):
    """Directory with a model and tokenizer of the kind that `load` takes."""
    if load is load_generator:
        tokenizer, build = tiny_tokenizer, tiny_models.make_gpt2
    else:
        tokenizer, build = encoder_tokenizer, tiny_models.make_bert_classifier
    build(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def message_of(load, path) -> str:
    with pytest.raises(UserError, match="cannot load") as error:
        load(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    return message


def test_whole_directory_loads(load, saved):
    assert load(saved) is not None


@pytest.mark.parametrize("size", [4, 300, -100])
def test_truncated_weights(load, saved, size):
    """Cut within the length of the header, within the header, and within the tensors."""
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert "damaged" in message_of(load, saved)


@pytest.mark.parametrize("content", ["", "{", '{"version": "1.0", "added_tokens": [], "model": 7}'])
def test_damaged_tokenizer(load, saved, content):
    (saved / "tokenizer.json").write_text(content)
    message = message_of(load, saved)
    assert "tokenizer" in message and "damaged" in message


def test_damaged_config(load, saved):
    (saved / "config.json").write_text("{")
    message_of(load, saved)


def test_missing_weights(load, saved):
    (saved / "model.safetensors").unlink()
    message = message_of(load, saved)
    assert "model.safetensors" in message
    assert "give an existing directory" not in message


def test_missing_package(load, saved, monkeypatch):
    def missing(*args, **kwargs):
        raise ImportError("this tokenizer needs the package sentencepiece:\npip install sentencepiece")

    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", missing)
    assert "needs the package sentencepiece: pip install" in message_of(load, saved)


def drop_special_tokens(path, *names):
    file = path / "tokenizer_config.json"
    config = {key: value for key, value in json.loads(file.read_text()).items() if key not in names}
    file.write_text(json.dumps(config))


def save_learner(path, tokenizer):
    tiny_models.make_bert_classifier(vocab_size=len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)


@pytest.mark.parametrize("load", [load_learner, load_encoder])
def test_learner_without_any_padding(load, tmp_path, encoder_tokenizer):
    save_learner(tmp_path, encoder_tokenizer)
    drop_special_tokens(tmp_path, "pad_token")
    with pytest.raises(UserError, match="no pad token; set pad_token in its"):
        load(tmp_path)


def test_learner_pads_with_the_end_token(tmp_path, tiny_tokenizer):
    save_learner(tmp_path, tiny_tokenizer)
    expected = load_encoder(tmp_path).embed(ROWS)
    learner = load_learner(tmp_path)
    features = learner.features(learner.encode(ROWS), range(len(ROWS)))
    drop_special_tokens(tmp_path, "pad_token")
    encoder = load_encoder(tmp_path)
    assert encoder.tokenizer.pad_token == tiny_tokenizer.eos_token != tiny_tokenizer.pad_token
    assert encoder.embed(ROWS) == pytest.approx(expected, abs=1e-5)
    learner = load_learner(tmp_path)
    assert learner.features(learner.encode(ROWS), range(len(ROWS))).numpy() == pytest.approx(
        features.numpy(), abs=1e-5
    )
