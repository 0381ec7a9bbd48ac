# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Small models with random weights and tokenizers of their own, for tests, demos and machines without downloads."""

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)


def _texts(rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    return (" " + text for row in rows for text in row)


def tiny_generator(rows: Sequence[tuple[str, ...]], vocab_size: int = 4000, seed: int = 42):
    """
    A GPT-2-type model of about one million parameters and a byte-level BPE tokenizer trained on `rows`.

    Returns:
        `(GPT2LMHeadModel, PreTrainedTokenizerFast)`
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(rows), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", model_max_length=512)
    config = GPT2Config(
        vocab_size=len(fast),
        n_positions=512,
        n_embd=128,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=fast.eos_token_id,
        eos_token_id=fast.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    return model.eval(), fast


def tiny_encoder_tokenizer(rows: Sequence[tuple[str, ...]], vocab_size: int = 4000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with BERT's special tokens, trained on `rows`: the same in every process."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["[PAD]", "[CLS]", "[SEP]"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(rows), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def tiny_classifier(rows: Sequence[tuple[str, ...]], num_labels: int, seed: int = 42):
    """
    A BERT-type classifier of about one million parameters with random weights, and its tokenizer.

    Returns:
        `(BertForSequenceClassification, PreTrainedTokenizerFast)`
    """
    tokenizer = tiny_encoder_tokenizer(rows)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        num_labels=num_labels,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    return model.eval(), tokenizer
