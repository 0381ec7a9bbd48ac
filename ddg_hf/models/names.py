# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The short model names of LongICLBench (github.com/TIGER-AI-Lab/LongICLBench), and what stands behind them here.

The benchmark's models are of 2023 and 2024, and several of them run only with Python code from their repository, which
is never executed here. Where a name can mean the model it meant it does; otherwise it means the nearest successor of
about the same size that transformers knows by itself. Where there is none the name is an error that says what to do.
"""

import os
from dataclasses import dataclass

from ddg_hf.errors import UserError


@dataclass(frozen=True)
class ShortName:
    """
    One short name.

    Attributes:
        reference: What LongICLBench loads under this name.
        model: Hub id that is loaded here; `None` if the name is an error.
        note: Why it is another model, or, without one, what to do instead.
    """

    reference: str
    model: str | None
    note: str = ""


_NEEDS_CODE = "needs Python code from its repository"
_RECURRENT = "has no key-value cache that the queries could share; use mistral, or serve it and pass --base_url"


def _hosted(address: str) -> str:
    return (
        f"was retired by its provider; pass --base_url {address} --scoring generate --chat user -m <its model's name>"
    )


SHORT_NAMES = {
    "qwen": ShortName("Qwen/Qwen-7B", "Qwen/Qwen2.5-7B", f"the reference's {_NEEDS_CODE}"),
    "mistral": ShortName("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.3", "32k context without a window"),
    "gemma": ShortName("google/gemma-7b", "google/gemma-2-9b", "successor, text only, 8k context as before"),
    "yi": ShortName("01-ai/Yi-6B-200K", "01-ai/Yi-1.5-9B-32K", "successor"),
    "llama2-7B-32K": ShortName("togethercomputer/LLaMA-2-7B-32K", "togethercomputer/LLaMA-2-7B-32K"),
    "longLora": ShortName("Yukang/Llama-2-7b-longlora-100k-ft", "Yukang/Llama-2-7b-longlora-100k-ft"),
    "longllama": ShortName(
        "syzymon/long_llama_code_7b",
        "codellama/CodeLlama-7b-hf",
        f"the reference's {_NEEDS_CODE}; this is the model that it was trained from",
    ),
    "glm": ShortName(
        "THUDM/chatglm3-6b-32k",
        "zai-org/glm-4-9b-chat-hf",
        f"the reference's {_NEEDS_CODE}; tuned for conversations: --chat user",
    ),
    "internlm": ShortName(
        "internlm/internlm2-base-7b",
        "internlm/internlm3-8b-instruct",
        f"the reference's {_NEEDS_CODE}; tuned for conversations: --chat user",
    ),
    "baichuan": ShortName("baichuan-inc/Baichuan2-7B-Base", None, f"{_NEEDS_CODE}; use qwen"),
    "rwkv": ShortName("BlinkDL/rwkv-5-world", None, _RECURRENT),
    "mamba": ShortName("state-spaces/mamba-2.8b", None, _RECURRENT),
    "gpt4": ShortName("gpt-4-turbo-preview", None, _hosted("https://api.openai.com/v1")),
    "claude3": ShortName("claude-3-opus-20240229", None, _hosted("https://api.anthropic.com/v1")),
    "gemini": ShortName("gemini-1.0-pro", None, _hosted("https://generativelanguage.googleapis.com/v1beta/openai")),
}
# The same models by the names of the paper (arXiv 2404.02060, table 2).
ALIASES = {
    "chatglm3-6b-32k": "glm",
    "LLaMA-2-7B-LongLora": "longLora",
    "gpt4-turbo": "gpt4",
    "gemini-1.0-pro": "gemini",
}
_FOLDED = {name.casefold(): name for name in SHORT_NAMES}
_FOLDED |= {alias.casefold(): name for alias, name in ALIASES.items()}


def resolve_model(name: str) -> str:
    """
    Returns the Hub id or directory that a model name means: what [`SHORT_NAMES`] says, whatever its case; any other
    name (one with a slash, an existing directory, `gpt2`) as it is.

    Raises:
        UserError: the short name of a model that cannot be used; the message names an alternative.
    """
    if "/" in name or os.path.isdir(name) or name.casefold() not in _FOLDED:
        return name
    entry = SHORT_NAMES[_FOLDED[name.casefold()]]
    if entry.model is None:
        raise UserError(f"the model '{name}' ({entry.reference} in LongICLBench) {entry.note}")
    return entry.model


def table() -> str:
    """The short names as a Markdown table, for the documentation."""
    lines = ["| name | in LongICLBench | here | |", "| --- | --- | --- | --- |"]
    for name, entry in SHORT_NAMES.items():
        here = f"`{entry.model}`" if entry.model else "error"
        lines.append(f"| `{name}` | `{entry.reference}` | {here} | {entry.note.replace('<', '&lt;')} |")
    return "\n".join(lines)
