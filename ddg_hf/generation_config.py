# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the generation of distilled sets."""

from dataclasses import dataclass, field

from .errors import UserError


@dataclass
class GenerationArguments:
    """
    How many sets are generated, and which of the sampled texts make it into one.

    Parameters:
        dpc (`list[int]`, *optional*, defaults to `[5]`):
            Rows per class of a set; each value becomes a configuration `dpc_<n>`.
        num_sets (`int`, *optional*, defaults to `5`):
            Number of sets, each from another sampling seed.
        selection (`str`, *optional*, defaults to `"k_centers"`):
            Which of the sampled texts are kept: `random`; `k_centers`, those nearest to the centroids of k-means
            clusters of their embeddings; `herding`; `generator_loss`, those that the generator finds most likely.
        over_sample_ratio (`float`, *optional*, defaults to `100`):
            Texts sampled for each text kept.
        label_filter (`bool`, *optional*, defaults to `False`):
            Drop texts to which a probe trained on real rows gives another label than the one they were asked for.
        top_p (`float`, *optional*, defaults to `0.95`): Nucleus sampling; there is no top-k.
        sampling_temperature (`float`, *optional*, defaults to `1.0`): Temperature of the sampling distribution.
        max_sampling_rounds (`int`, *optional*, defaults to `10`):
            Rounds of sampling before a generator that writes too many unusable texts is an error.
        restrict_vocabulary (`bool`, *optional*, defaults to `True`):
            Sample only tokens that were kept in pretraining, if its vocabulary was trimmed.
        self_generated (`bool`, *optional*, defaults to `False`):
            The generator is any language model, which is asked for a text in words ("negative movie review:") and has
            not been trained for it.
    """

    dpc: list[int] = field(default_factory=lambda: [5], metadata={"help": "Rows per class, one or several values."})
    num_sets: int = field(default=5, metadata={"help": "Number of sets, each from another sampling seed."})
    selection: str = field(
        default="k_centers",
        metadata={
            "help": "Which of the sampled texts are kept.",
            "choices": ["random", "k_centers", "herding", "generator_loss"],
        },
    )
    over_sample_ratio: float = field(default=100, metadata={"help": "Texts sampled for each text kept."})
    label_filter: bool = field(
        default=False, metadata={"help": "Drop texts to which a probe gives another label than the one asked for."}
    )
    top_p: float = field(default=0.95, metadata={"help": "Nucleus sampling; there is no top-k."})
    sampling_temperature: float = field(default=1.0, metadata={"help": "Temperature of the sampling distribution."})
    max_sampling_rounds: int = field(default=10, metadata={"help": "Rounds of sampling before giving up."})
    restrict_vocabulary: bool = field(
        default=True, metadata={"help": "Sample only tokens that were kept in pretraining."}
    )
    self_generated: bool = field(
        default=False, metadata={"help": "Ask any language model for texts in words, without training."}
    )

    def __post_init__(self):
        if not self.dpc or min(self.dpc) < 1:
            raise UserError(f"--dpc must be one or more positive numbers, got {self.dpc}")
        if self.num_sets < 1:
            raise UserError(f"--num_sets must be at least 1, got {self.num_sets}")
        if self.over_sample_ratio < 1:
            raise UserError(f"--over_sample_ratio must be at least 1, got {self.over_sample_ratio}")
        if not 0 < self.top_p <= 1 or self.sampling_temperature <= 0:
            raise UserError("--top_p must lie in (0, 1] and --sampling_temperature must be positive")
