# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the in-context evaluation."""

import os
from dataclasses import dataclass, field

from ddg_hf.errors import UserError, closest


@dataclass
class ICLEvaluationArguments:
    """
    Which demonstrations are shown, to which queries, and how the answers are read.

    Parameters:
        distilled (`str`, *optional*):
            Directory or Hub id of distilled sets; all sets of each configuration are evaluated.
        demonstrations (`str`, *optional*, defaults to `"balanced"` without `distilled`):
            Rows of the training split instead: `balanced` (as many of each class, at random), `random` (at random
            whatever their class), `k_centers` (the most typical rows of each class by the embeddings of `--learner`);
            or `zero_shot`. A directory or Hub id is taken for `distilled`.
        dpc (`list[int]`, *optional*):
            Demonstrations per class. Of distilled sets, which configurations to evaluate (default: all there are); of
            training rows, how many to draw (default: `rounds`, or 5).
        rounds (`int`, *optional*, defaults to `dpc`):
            Demonstrations per class that the prompt shows, one of each class in each round.
        num_sets (`int`, *optional*):
            Number of sets: the first so many distilled sets (default: all), or draws of training rows (default: 5).
        orders (`int`, *optional*, defaults to `1`):
            In how many orders each set is shown.
        test_number (`int`, *optional*):
            Number of queries, drawn with the classes as equal as possible. The whole split by default.
        split (`str`, *optional*, defaults to `"validation"`):
            Split that the queries come from.
        scoring (`str`, *optional*, defaults to `"likelihood"`):
            `likelihood` compares the probabilities of the label words, raw and batch-calibrated; `generate` lets the
            model write and compares the first line with the label words.
        token_budget (`int`, *optional*, defaults to `16384`):
            Greatest number of tokens in the cache at once, the shared prefix counted for every row of a batch. Lower
            it when memory runs out.
    """

    distilled: str | None = field(default=None, metadata={"help": "Directory or Hub id of distilled sets."})
    demonstrations: str | None = field(
        default=None,
        metadata={"help": "balanced, random, k_centers or zero_shot (default: balanced without --distilled)."},
    )
    dpc: list[int] | None = field(
        default=None,
        metadata={"help": "Demonstrations per class: configurations of --distilled, or training rows to draw."},
    )
    rounds: int | None = field(
        default=None,
        metadata={"help": "Demonstrations per class in the prompt (default: dpc).", "aliases": ["--round"]},
    )
    num_sets: int | None = field(
        default=None, metadata={"help": "Number of sets (default: all distilled sets, or 5 draws of training rows)."}
    )
    orders: int = field(default=1, metadata={"help": "In how many orders each set is shown."})
    test_number: int | None = field(
        default=None, metadata={"help": "Number of queries, classes as equal as possible (default: whole split)."}
    )
    split: str = field(default="validation", metadata={"help": "Split that the queries come from."})
    scoring: str = field(
        default="likelihood",
        metadata={"help": "How the answer is read.", "choices": ["likelihood", "generate"]},
    )
    token_budget: int = field(
        default=16384, metadata={"help": "Greatest number of tokens in the cache at once; lower it to save memory."}
    )

    def __post_init__(self):
        kinds = ("zero_shot", "random", "balanced", "k_centers")
        if self.distilled is not None and self.demonstrations is not None:
            raise UserError("--distilled and --demonstrations exclude each other: give one of them")
        if self.demonstrations is not None and self.demonstrations not in kinds:
            if not os.path.isdir(self.demonstrations) and "/" not in self.demonstrations:
                raise UserError(
                    f"unknown demonstrations '{self.demonstrations}'.{closest(self.demonstrations, kinds)} "
                    f"Give one of {', '.join(kinds)}, a directory or a Hub id."
                )
            self.distilled, self.demonstrations = self.demonstrations, None
        if self.distilled is None and self.demonstrations is None:
            self.demonstrations = "balanced"
        for name in ("rounds", "num_sets", "orders", "test_number", "token_budget"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}")
        if self.dpc is not None and (not self.dpc or min(self.dpc) < 1):
            raise UserError(f"--dpc must be one or more numbers of at least 1, got {self.dpc}")
