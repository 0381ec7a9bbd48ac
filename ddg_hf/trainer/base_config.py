# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments that both training stages share."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from ..errors import UserError
from .sharding import load_models_whole
from .trackers import check_trackers


@dataclass
class BaseConfig(TrainingArguments):
    r"""
    Base of the training configurations. Subclass of [`~transformers.TrainingArguments`]; these defaults differ:
    `logging_steps=10`, `remove_unused_columns=False` (samples have columns of their own),
    `logging_nan_inf_filter=False` (a loss that is not finite is an error here), `save_total_limit=2`,
    `ddp_broadcast_buffers=False` (the buffers of language models are constants),
    `restore_callback_states_from_checkpoint=True` (a resumed run is the same run), `metric_for_best_model="nll"` with
    `load_best_model_at_end` (the held-out NLL; there is no evaluation loss), and `use_cpu=True` on a machine
    without an accelerator.

    Parameters:
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace a finished run in `output_dir`.
        tokens_per_micro_batch (`int`, *optional*, defaults to `4096`, or `1024` on a CPU):
            Upper bound of the padded tokens in one forward pass of the generator. The rows of a batch are sorted by
            length and split accordingly; the result does not depend on it. Smaller passes have less padding.
        probe_samples (`int`, *optional*, defaults to `64`):
            Texts generated per label to measure label consistency at every evaluation; 0 turns the probe off.
        top_p (`float`, *optional*, defaults to `0.95`):
            Nucleus sampling: smallest set of tokens with at least this probability. There is no top-k.
        sampling_temperature (`float`, *optional*, defaults to `1.0`):
            Temperature of the sampling distribution.
    """

    logging_steps: float = field(default=10, metadata={"help": "Log every so many update steps."})
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Keep False: samples have their own columns."}
    )
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Keep False: a loss that is not finite is an error."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Number of checkpoints that are kept."})
    ddp_broadcast_buffers: bool | None = field(
        default=False, metadata={"help": "Keep False: the buffers of language models are constants."}
    )
    restore_callback_states_from_checkpoint: bool = field(
        default=True, metadata={"help": "Keep True: a resumed run is the same run."}
    )
    report_to: list[str] = field(
        default_factory=lambda: ["none"],
        metadata={"help": "Experiment trackers: tensorboard, trackio, mlflow, ..., all that are installed, or none."},
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace a finished run in output_dir."})
    tokens_per_micro_batch: int | None = field(
        default=None,
        metadata={"help": "Upper bound of the padded tokens in one forward pass (default: 4096, 1024 on a CPU)."},
    )
    probe_samples: int = field(
        default=64, metadata={"help": "Texts generated per label to measure label consistency; 0 turns it off."}
    )
    # Trainer's list of target columns; the name belongs to the data set's label names here.
    label_names: list[str] | None = field(default=None, init=False)
    top_p: float = field(default=0.95, metadata={"help": "Nucleus sampling; there is no top-k."})
    sampling_temperature: float = field(default=1.0, metadata={"help": "Temperature of the sampling distribution."})

    def __post_init__(self):
        # Launched processes do not learn from accelerate that they run on CPUs: each would train alone.
        if not torch.accelerator.is_available():
            self.use_cpu = True
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model, self.greater_is_better = "nll", False
        super().__post_init__()
        if self.max_steps > 0 and self.num_train_epochs != TrainingArguments.num_train_epochs:
            raise UserError(
                f"--num_train_epochs does nothing beside --max_steps {self.max_steps}: leave it out, or pretrain with "
                "--max_steps -1"
            )
        if self.tokens_per_micro_batch is None:
            self.tokens_per_micro_batch = 1024 if self.device.type == "cpu" else 4096
        load_models_whole()
        check_trackers(self.report_to)
        for name in ("tokens_per_micro_batch", "sampling_temperature"):
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, got {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top_p must lie in (0, 1], got {self.top_p}")
        if self.probe_samples < 0:
            raise UserError(f"--probe_samples must not be negative, got {self.probe_samples}")
