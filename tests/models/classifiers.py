# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tiny sequence classifiers with random weights, one for each kind of head, and learners made of them."""

import torch
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from ddg_hf.models.learner import Learner
from ddg_hf.models.tiny import tiny_encoder_tokenizer
from tests import tiny_models

ENCODER_TOKENIZER = tiny_encoder_tokenizer([(text,) for text in tiny_models.SENTENCES])
DECODER_TOKENIZER = tiny_models.build_tiny_tokenizer()

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
    "initializer_range": 0.1,
}
DECODER_SIZES = SIZES | {"num_key_value_heads": 2, "attention_dropout": 0.1}
MODERNBERT_SIZES = SIZES | {
    **{"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, "cls_token_id": 1, "sep_token_id": 2},
    **{"embedding_dropout": 0.1, "mlp_dropout": 0.1, "attention_dropout": 0.1, "classifier_dropout": 0.1},
}
SPECIAL = {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}  # Learner sets the padding token
OTHER_NAMES = {
    "distilbert": {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 66},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 66} | SPECIAL,
    "xlnet": {"d_model": 32, "d_inner": 48, "n_layer": 2, "n_head": 4},
}
KINDS = {
    "bert": (tiny_models.BertConfig, tiny_models.BertForSequenceClassification, SIZES),
    "roberta": (
        tiny_models.RobertaConfig,
        tiny_models.RobertaForSequenceClassification,
        SIZES | {"pad_token_id": 0, "type_vocab_size": 2},
    ),
    "electra": (ElectraConfig, ElectraForSequenceClassification, SIZES | {"embedding_size": 16}),
    "distilbert": (DistilBertConfig, DistilBertForSequenceClassification, OTHER_NAMES["distilbert"]),
    "modernbert": (ModernBertConfig, ModernBertForSequenceClassification, MODERNBERT_SIZES),
    "modernbert-mean": (
        ModernBertConfig,
        ModernBertForSequenceClassification,
        MODERNBERT_SIZES | {"classifier_pooling": "mean"},
    ),
    "deberta": (
        DebertaV2Config,
        DebertaV2ForSequenceClassification,
        SIZES | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 32},
    ),
    "gpt2": (GPT2Config, GPT2ForSequenceClassification, OTHER_NAMES["gpt2"]),
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification, DECODER_SIZES | SPECIAL),
    "llama": (LlamaConfig, LlamaForSequenceClassification, DECODER_SIZES | SPECIAL),
    "xlnet": (XLNetConfig, XLNetForSequenceClassification, OTHER_NAMES["xlnet"]),
}
DECODERS = ("gpt2", "qwen2", "llama")
# Heads of one linear layer.
LINEAR = ("bert", *DECODERS)


def make_classifier(kind: str, num_labels: int = 3, seed: int = 0, **overrides):
    """A classifier of a kind, weights large enough to matter, in `eval` mode; dropout of 0.1."""
    config_class, model_class, sizes = KINDS[kind]
    tokenizer = DECODER_TOKENIZER if kind in DECODERS else ENCODER_TOKENIZER
    config = config_class(**(sizes | {"vocab_size": len(tokenizer), "num_labels": num_labels} | overrides))
    config.initializer_range = 0.1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config).eval()


def make_learner(kind: str, num_labels: int = 3, seed: int = 0, head=None, **overrides) -> Learner:
    """A learner of a kind, float32."""
    tokenizer = DECODER_TOKENIZER if kind in DECODERS else ENCODER_TOKENIZER
    return Learner(make_classifier(kind, num_labels, seed, **overrides), tokenizer, head=head)
