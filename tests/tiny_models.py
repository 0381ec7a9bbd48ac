# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tiny random models and tokenizers for the tests and benchmarks: no network, no downloads, a few milliseconds each.

Every builder seeds the weights without touching the global random state, leaves dropout at the library default and
accepts configuration overrides as keyword arguments, e.g. ``make_gpt2(vocab_size, resid_pdrop=0.0)``.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

DEFAULT_VOCAB_SIZE = 64

# Ids of the special tokens of `build_tiny_tokenizer`, shared by the causal models below.
PAD_ID, BOS_ID, EOS_ID, UNK_ID = 0, 1, 2, 3

SENTENCES = (
    "a warm and funny film that never wastes a minute of your time",
    "the plot is dull and the jokes fall flat from start to finish",
    "an honest, quiet drama with two great actors in the lead",
    "too long, too loud and far too proud of its own cleverness",
    "please send my new card to the other address",
    "why was my transfer declined yesterday morning?",
    "the team won the final match after extra time",
    "shares fell sharply as oil prices rose again this week",
    "scientists have found water under the surface of the small moon",
    "i loved every scene of this gentle and moving story",
    "nothing here works: not the script, not the cast, not the music",
    "negative positive neutral good bad great terrible movie review question answer",
)


# ---------------------------------------------------------------------------------------------------------------------
# Tokenizers
# ---------------------------------------------------------------------------------------------------------------------


def build_tiny_tokenizer(model_max_length: int = 128) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in the style of GPT-2, with its own bos, eos, pad and unk tokens.

    Any text round-trips through it. It adds no special tokens of its own when encoding. About 560 tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<bos>", "<eos>", "<unk>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=model_max_length,
        clean_up_tokenization_spaces=False,
    )


def build_encoder_tokenizer(model_max_length: int = 64) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer in the style of BERT: ``[CLS] text [SEP]`` or ``[CLS] a [SEP] b [SEP]``."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    cls_id, sep_id = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls_id), ("[SEP]", sep_id)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=model_max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------


def _build(model_class: type[PreTrainedModel], config: Any, seed: int) -> PreTrainedModel:
    """Initialise `model_class(config)` from `seed` in evaluation mode, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config).eval()


def _causal_defaults(vocab_size: int, overrides: dict[str, Any]) -> dict[str, Any]:
    """Shared settings of the Llama-like models: 2 layers, hidden size 32, 4 heads, weights large enough to matter."""
    defaults = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.1,
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
    }
    return defaults | overrides


def make_gpt2(vocab_size: int = DEFAULT_VOCAB_SIZE, seed: int = 0, **overrides: Any) -> GPT2LMHeadModel:
    """GPT-2: tied embeddings, learned positions, dropout 0.1."""
    defaults = {
        "vocab_size": vocab_size,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 128,
        "initializer_range": 0.1,
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
    }
    return _build(GPT2LMHeadModel, GPT2Config(**(defaults | overrides)), seed)


def make_llama(vocab_size: int = DEFAULT_VOCAB_SIZE, seed: int = 0, **overrides: Any) -> LlamaForCausalLM:
    """Llama: untied embeddings, grouped-query attention, no dropout."""
    return _build(LlamaForCausalLM, LlamaConfig(**_causal_defaults(vocab_size, overrides)), seed)


def make_qwen2(vocab_size: int = DEFAULT_VOCAB_SIZE, seed: int = 0, **overrides: Any) -> Qwen2ForCausalLM:
    """Qwen2: tied embeddings as in the small released models, biases in the attention projections."""
    overrides = {"tie_word_embeddings": True} | overrides
    return _build(Qwen2ForCausalLM, Qwen2Config(**_causal_defaults(vocab_size, overrides)), seed)


def make_mistral(vocab_size: int = DEFAULT_VOCAB_SIZE, seed: int = 0, **overrides: Any) -> MistralForCausalLM:
    """Mistral: untied embeddings, a sliding window of 8 tokens in every layer."""
    overrides = {"sliding_window": 8} | overrides
    return _build(MistralForCausalLM, MistralConfig(**_causal_defaults(vocab_size, overrides)), seed)


def make_gemma3(vocab_size: int = DEFAULT_VOCAB_SIZE, seed: int = 0, **overrides: Any) -> Gemma3ForCausalLM:
    """Gemma 3 (text): tied and scaled embeddings, one sliding (window 8) and one full attention layer."""
    gemma = {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "num_key_value_heads": 1,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "tie_word_embeddings": True,
    }
    return _build(Gemma3ForCausalLM, Gemma3TextConfig(**_causal_defaults(vocab_size, gemma | overrides)), seed)


def _bert_config(vocab_size: int, overrides: dict[str, Any], **extra: Any) -> BertConfig:
    defaults = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
        "pad_token_id": 0,
    }
    return BertConfig(**(defaults | extra | overrides))


def make_bert(vocab_size: int = 400, seed: int = 0, **overrides: Any) -> BertModel:
    """A BERT encoder without a head."""
    return _build(BertModel, _bert_config(vocab_size, overrides), seed)


def make_bert_classifier(
    num_labels: int = 2, vocab_size: int = 400, seed: int = 0, **overrides: Any
) -> BertForSequenceClassification:
    """BERT with its linear head over the pooled output; dropout 0.1. `num_labels` classes."""
    return _build(BertForSequenceClassification, _bert_config(vocab_size, overrides, num_labels=num_labels), seed)


def make_roberta_classifier(
    num_labels: int = 2, vocab_size: int = 400, seed: int = 0, **overrides: Any
) -> RobertaForSequenceClassification:
    """RoBERTa with its two-layer head over the first token; dropout 0.1. Padding id 1, as in the released models.

    The padding id differs from that of `build_encoder_tokenizer` (0) unless ``pad_token_id=0`` is passed: RoBERTa
    derives positions from it.
    """
    defaults = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 66,
        "type_vocab_size": 2,
        "initializer_range": 0.1,
        "pad_token_id": 1,
        "num_labels": num_labels,
    }
    return _build(RobertaForSequenceClassification, RobertaConfig(**(defaults | overrides)), seed)


CAUSAL_BUILDERS = {
    "gpt2": make_gpt2,
    "llama": make_llama,
    "qwen2": make_qwen2,
    "mistral": make_mistral,
    "gemma3": make_gemma3,
}
