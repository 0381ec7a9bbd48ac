# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments that both evaluations share: which sets, tested on which rows."""

import os
from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import UserError, closest

# Rows of the training split that make a set, and those that are retrieved for each query by itself.
REAL_ROWS = ("random", "balanced", "k_centers", "herding")
RETRIEVED = ("bm25", "topk")
KINDS = ("zero_shot", *REAL_ROWS, *RETRIEVED)
NEEDS_ENCODER = ("k_centers", "herding", "topk")
JSON_SUFFIXES = (".json", ".jsonl")


@dataclass
class DemonstrationArguments:
    """
    Which sets are evaluated, and the rows that they are tested on.

    Parameters:
        distilled (`str`, *optional*):
            Directory or Hub id of distilled sets, all sets of each configuration of which are evaluated; or a file of
            JSON lines, with the text columns of the task, `label` (name or id) and, for more than one set, `set`.
        demonstrations (`str`, *optional*, defaults to `"balanced"` without `distilled`):
            Rows of the training split instead: `balanced` (as many of each class, at random), `random` (at random
            whatever their class), `k_centers` (the most typical rows of each class by the embeddings of `--learner`)
            or `herding` (rows of each class whose mean embedding is nearest to that of the class; one set). A
            directory, a Hub id or a file is taken for `distilled`.
        dpc (`list[int]`, *optional*):
            Rows per class. Of distilled sets, which configurations to evaluate (default: all there are); of a file,
            how many rows of each class to take (default: all); of training rows, how many to draw (default: 5).
        num_sets (`int`, *optional*):
            Number of sets: the first so many distilled sets (default: all), or draws of training rows (default: 5).
        split (`str`, *optional*, defaults to `"validation"`): Split that the test rows come from.
        test_number (`int`, *optional*):
            Number of test rows, drawn with the classes as equal as possible. The whole split by default.

    Raises:
        UserError: a value that is out of range, unknown `demonstrations`, or both these and `distilled`.
    """

    kinds: ClassVar[tuple[str, ...]] = REAL_ROWS

    distilled: str | None = field(
        default=None, metadata={"help": "Distilled sets: a directory, a Hub id or a file of JSON lines."}
    )
    demonstrations: str | None = field(
        default=None,
        metadata={"help": "balanced, random, k_centers or herding (default: balanced without --distilled)."},
    )
    dpc: list[int] | None = field(
        default=None,
        metadata={"help": "Demonstrations per class: configurations of --distilled, or training rows to draw."},
    )
    num_sets: int | None = field(
        default=None, metadata={"help": "Number of sets (default: all distilled sets, or 5 draws of training rows)."}
    )
    split: str = field(default="validation", metadata={"help": "Split that the test rows come from."})
    test_number: int | None = field(
        default=None, metadata={"help": "Number of test rows, classes as equal as possible (default: whole split)."}
    )

    def __post_init__(self):
        if self.distilled is not None and self.demonstrations is not None:
            raise UserError("--distilled and --demonstrations exclude each other: give one of them")
        if self.demonstrations is not None and self.demonstrations not in self.kinds:
            path = os.path.expanduser(self.demonstrations)
            if path.lower().endswith(JSON_SUFFIXES) and not os.path.exists(path):
                raise UserError(f"there is no file '{self.demonstrations}' to take demonstrations from")
            if not os.path.exists(path) and "/" not in self.demonstrations:
                raise UserError(
                    f"unknown demonstrations '{self.demonstrations}'.{closest(self.demonstrations, self.kinds)} "
                    f"Give one of {', '.join(self.kinds)}, a file of JSON lines, a directory or a Hub id."
                )
            self.distilled, self.demonstrations = self.demonstrations, None
        if self.distilled is None and self.demonstrations is None:
            self.demonstrations = "balanced"
        for name in ("num_sets", "test_number"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}")
        if self.dpc is not None and (not self.dpc or min(self.dpc) < 1):
            raise UserError(f"--dpc must be one or more numbers of at least 1, got {self.dpc}")
