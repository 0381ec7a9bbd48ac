# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Loading of pretrained models and tokenizers from the Hub or a directory."""

import json
import os

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ..configs import ModelArguments
from ..errors import UserError

# What `from_pretrained` raises when files are missing, do not fit, are damaged, or need a package that is not there.
LOAD_ERRORS = (OSError, ValueError, ImportError, SafetensorError)


def load_tokenizer(name: str, revision: str = "main"):
    """
    Loads the tokenizer of a Hub id or directory.

    Raises:
        UserError: the directory does not exist, has no tokenizer or a damaged one, or the Hub id cannot be loaded.
    """
    if os.path.isdir(name) and not any(
        os.path.exists(os.path.join(name, file))
        for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json")
    ):
        raise UserError(f"'{name}' has no tokenizer; save the tokenizer beside the model (tokenizer.save_pretrained)")
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision)
    except Exception as error:  # `tokenizers` raises nothing more specific for a damaged file
        raise UserError(load_failure(name, "tokenizer", error)) from error


def load_causal_lm(name: str, model_args: ModelArguments):
    """
    Loads a causal language model and its tokenizer.

    Args:
        name (`str`): Hub id or directory.
        model_args ([`ModelArguments`]): type of the weights, attention implementation, revision, 4-bit.

    Returns:
        `(model, tokenizer)`, the model in `eval` mode.

    Raises:
        UserError: the model or tokenizer cannot be loaded.
    """
    tokenizer = load_tokenizer(name, model_args.revision)
    quantization = None
    if model_args.load_in_4bit:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=model_args.bnb_4bit_quant_type,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=model_args.revision,
            dtype=model_args.dtype if model_args.dtype == "auto" else getattr(torch, model_args.dtype),
            attn_implementation=model_args.attn_implementation,
            quantization_config=quantization,
        )
    except LOAD_ERRORS as error:
        raise UserError(load_failure(name, "model", error)) from error
    return model.eval(), tokenizer


def load_failure(name: str, what: str, error: Exception) -> str:
    """One line on why a model or tokenizer could not be loaded, and what to try."""
    reason = " ".join(str(error).split())[:300]
    not_json = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
    if not_json or not isinstance(error, (OSError, ValueError, ImportError)):
        return f"cannot load the {what} of '{name}': a file of it is damaged or cut short; make it again. {reason}"
    if isinstance(error, ImportError) or os.path.isdir(name):
        return f"cannot load the {what} of '{name}': {reason}"
    return (
        f"cannot load the {what} of '{name}': give an existing directory or a Hub id that this machine can reach "
        f"(offline: `ddg-hf models`). {reason}"
    )
