# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the in-context evaluation."""

from dataclasses import dataclass, field
from typing import ClassVar

from ddg_hf.errors import UserError
from ddg_hf.evaluation.arguments import KINDS, DemonstrationArguments


@dataclass
class ICLEvaluationArguments(DemonstrationArguments):
    """
    Which demonstrations are shown, to which queries, and how the answers are read. The fields of
    [`~ddg_hf.evaluation.arguments.DemonstrationArguments`] describe the demonstrations and the queries;
    `demonstrations` may also be `zero_shot`, and `dpc` of training rows defaults to `rounds`.

    Parameters:
        rounds (`int`, *optional*, defaults to `dpc`):
            Demonstrations per class that the prompt shows, one of each class in each round.
        orders (`int`, *optional*, defaults to `1`):
            In how many orders each set is shown.
        scoring (`str`, *optional*, defaults to `"likelihood"`):
            `likelihood` compares the probabilities of the label words, raw and batch-calibrated; `generate` lets the
            model write and compares the first line with the label words.
        token_budget (`int`, *optional*, defaults to `16384`):
            Greatest number of tokens in the cache at once, the shared prefix counted for every row of a batch. Lower
            it when memory runs out.
    """

    kinds: ClassVar[tuple[str, ...]] = KINDS

    demonstrations: str | None = field(
        default=None,
        metadata={"help": "balanced, random, k_centers or zero_shot (default: balanced without --distilled)."},
    )
    rounds: int | None = field(
        default=None,
        metadata={"help": "Demonstrations per class in the prompt (default: dpc).", "aliases": ["--round"]},
    )
    orders: int = field(default=1, metadata={"help": "In how many orders each set is shown."})
    scoring: str = field(
        default="likelihood",
        metadata={"help": "How the answer is read.", "choices": ["likelihood", "generate"]},
    )
    token_budget: int = field(
        default=16384, metadata={"help": "Greatest number of tokens in the cache at once; lower it to save memory."}
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("rounds", "orders", "token_budget"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}")
