# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the language-model pretraining of the generator."""

from dataclasses import dataclass, field

from ..errors import UserError
from .base_config import BaseConfig


@dataclass
class GeneratorPretrainingConfig(BaseConfig):
    r"""
    Configuration of the [`GeneratorPretrainingTrainer`].

    Holds what is specific to this stage; see [`BaseConfig`] and [`~transformers.TrainingArguments`] for the rest.
    Defaults that differ from them are DiLM's: `learning_rate=1e-5`, `lr_scheduler_type="cosine"`,
    `per_device_train_batch_size=64`, `max_steps=80000`.

    Parameters:
        label_prefix (`str`, *optional*, defaults to `"token"`):
            How a sequence asks for its label: `token`, one control token per label; `text`, words such as
            "negative movie review:".
        label_initialization (`str`, *optional*, defaults to `"name"`):
            Where a label token starts: `name`, the mean embedding of the label's words; `bos`, the embedding of the
            begin token, the same for all labels (DiLM's, with which a generator may never learn to heed its label).
        trim_vocabulary (`bool`, *optional*, defaults to `True`):
            Train on the tokens that occur in the training text only. The checkpoint has the full vocabulary.
        max_length (`int`, *optional*):
            Longest text in tokens; the task's by default.
        discriminative_weight (`float`, *optional*, defaults to `0.0`):
            Weight of a term that makes a text more likely under its own label than under others:
            -[log p(x|y) - log sum_y' p(x|y')].
        discriminative_labels (`int`, *optional*, defaults to `1`):
            Other labels, drawn at random for each row, that the term compares with. Each costs one more forward and
            backward pass.
    """

    learning_rate: float = field(default=1e-5, metadata={"help": "Initial learning rate."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "Rows per device and step."})
    max_steps: int = field(default=80_000, metadata={"help": "Number of update steps."})
    label_prefix: str = field(
        default="token", metadata={"help": "How a sequence asks for its label.", "choices": ["token", "text"]}
    )
    label_initialization: str = field(
        default="name", metadata={"help": "Where a label token starts.", "choices": ["name", "bos"]}
    )
    trim_vocabulary: bool = field(
        default=True, metadata={"help": "Train on the tokens that occur in the training text only."}
    )
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens (default: the task's)."})
    discriminative_weight: float = field(
        default=0.0, metadata={"help": "Weight of the term that compares a text's label with others."}
    )
    discriminative_labels: int = field(default=1, metadata={"help": "Other labels that the term compares with."})

    def __post_init__(self):
        super().__post_init__()
        if self.discriminative_weight < 0:
            raise UserError(f"--discriminative_weight must not be negative, got {self.discriminative_weight}")
        if self.discriminative_labels < 1:
            raise UserError(f"--discriminative_labels must be at least 1, got {self.discriminative_labels}")
