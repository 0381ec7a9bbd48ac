# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Small models with random weights and tokenizers of their own, for tests, demos and machines without downloads."""

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLNetConfig,
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


TINY_LEARNERS = ("tiny", "tiny-roberta", "tiny-xlnet", "tiny-deberta")
"""Names of learners with random weights: of the type of BERT, RoBERTa, XLNet and DeBERTa."""
_HIDDEN, _LAYERS, _HEADS, _INNER = 128, 2, 2, 256


def tiny_classifier(rows: Sequence[tuple[str, ...]], num_labels: int, kind: str = "tiny", seed: int = 42):
    """
    A classifier of about one million parameters with random weights, and its tokenizer.

    Args:
        rows: texts that train the tokenizer.
        num_labels (`int`): number of classes.
        kind (`str`): one of [`TINY_LEARNERS`].
        seed (`int`): seed of the weights.

    Returns:
        `(PreTrainedModel, PreTrainedTokenizerFast)`
    """
    tokenizer = tiny_encoder_tokenizer(rows)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(_tiny_config(kind, tokenizer, num_labels))
    return model.eval(), tokenizer


def _tiny_config(kind: str, tokenizer: PreTrainedTokenizerFast, num_labels: int):
    common = {"vocab_size": len(tokenizer), "num_labels": num_labels, "pad_token_id": tokenizer.pad_token_id}
    if kind == "tiny-xlnet":
        return XLNetConfig(d_model=_HIDDEN, n_layer=_LAYERS, n_head=_HEADS, d_inner=_INNER, **common)
    common |= {"hidden_size": _HIDDEN, "num_hidden_layers": _LAYERS, "num_attention_heads": _HEADS}
    common |= {"intermediate_size": _INNER}
    if kind == "tiny-roberta":
        return RobertaConfig(max_position_embeddings=514, type_vocab_size=2, **common)
    if kind == "tiny-deberta":
        return DebertaV2Config(type_vocab_size=2, relative_attention=True, pos_att_type=["p2c", "c2p"], **common)
    assert kind == "tiny", f"no tiny learner '{kind}'"
    return BertConfig(**common)
