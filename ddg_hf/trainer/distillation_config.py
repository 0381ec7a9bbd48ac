# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Arguments of the distillation of a generator by gradient matching."""

from dataclasses import dataclass, field

from ..errors import UserError
from .base_config import BaseConfig


@dataclass
class DistillationConfig(BaseConfig):
    r"""
    Configuration of the [`DistillationTrainer`].

    Holds what is specific to this stage; see [`BaseConfig`] and [`~transformers.TrainingArguments`] for the rest. The
    defaults are DiLM's but for a smaller pool and a constant learning rate of the learner; those that differ from the
    base classes: `learning_rate=3e-7`, `lr_scheduler_type="cosine"`, `max_steps=20000`,
    `per_device_train_batch_size=1` (the batch is `synthetic_per_class`; rows are split by `tokens_per_micro_batch` and
    `gradient_accumulation_steps`, neither of which changes the result).

    One step updates the generator once; `inner_steps` of them follow one learner from a fresh head on.

    Parameters:
        inner_steps (`int`, *optional*, defaults to `10`):
            Generator updates along one learner trajectory.
        learner_steps (`int`, *optional*, defaults to `20`):
            Learner updates on real data between two generator updates.
        learner_batch_size (`int`, *optional*, defaults to `64`):
            Real rows in one learner update.
        learner_learning_rate (`float`, *optional*, defaults to `1e-4`):
            Learning rate of the learner (AdamW).
        learner_lr_scheduler_type (`str`, *optional*, defaults to `"constant"`):
            Schedule of it over the learner updates of a trajectory: `constant`, `linear` or `cosine`.
        learner_warmup_ratio (`float`, *optional*, defaults to `0.0`):
            Part of a trajectory during which it rises from 0 (not with `constant`).
        match_parameters (`str`, *optional*, defaults to `"head"`):
            Gradients in which parameters of the learner are matched: those of its `head`, or `all`.
        synthetic_per_class (`int`, *optional*, defaults to `64`):
            Synthetic rows per label in one generator update, one from each of as many k-means clusters of the pool;
            at most half of the class, two at least.
        pool_per_class (`int`, *optional*, defaults to `640`):
            Synthetic rows per label that are sampled at a time.
        generate_interval (`int`, *optional*, defaults to `20`):
            Outer steps between two regenerations of the pool.
        real_per_class (`int`, *optional*, defaults to `200`):
            Real rows per label in a teacher set, at most half of the class.
        teacher_sets (`int`, *optional*, defaults to `10`):
            Number of K-centers coresets that the real gradient is taken on in turn.
        teacher_accumulation (`int`, *optional*, defaults to `1`):
            Coresets over which one real gradient is the mean.
        labels_per_step (`int`, *optional*):
            Labels that are matched in one update, drawn anew for each; all of them by default.
        lm_lambda (`float`, *optional*, defaults to `0.0`):
            Weight of the language-model loss on real rows: the loss is (1 - lm_lambda) times the matching loss plus
            lm_lambda times it.
        lm_batch_size (`int`, *optional*, defaults to `64`):
            Real rows of the language-model loss in one update.
        normalize_temperature (`float`, *optional*, defaults to `1.0`):
            T of the weights softmax(-nll / T).
        student (`str`, *optional*, defaults to `"ema"`):
            Where the synthetic gradient is taken: `ema`, at an exponential moving average of the learner (DDG);
            `shared`, at the learner itself (DiLM).
        ema_decay (`float`, *optional*, defaults to `0.99`):
            Decay of the moving average, per learner update.
        student_head (`str`, *optional*, defaults to `"copy"`):
            The student's head at the start of an outer step: `copy` of the learner's, or drawn `independent`ly.
        num_trajectories (`int`, *optional*, defaults to `0`):
            Learner trajectories that are computed once, stored and used in turn; 0 computes a fresh one for every
            outer step.
        trajectory_dir (`str`, *optional*):
            Where they are stored, or were by another run; `trajectories` in `output_dir` by default.
        max_graph_tokens (`int`, *optional*, defaults to `4096`):
            Padded tokens whose forward graph may be held in memory. Within it one forward pass of the generator
            serves for the weights and for the backward pass; beyond it a pass without gradient comes first.
        max_sampling_rounds (`int`, *optional*, defaults to `10`):
            Rounds of sampling before a generator that writes too many malformed texts is an error.
        eval_snapshots (`int`, *optional*, defaults to `3`):
            Fixed learner snapshots, spread over a trajectory and at most `inner_steps`, at which evaluation measures
            the gradient cosine of fresh samples.
        held_out_samples (`int`, *optional*, defaults to `64`):
            Held-out real rows whose NLL under the generator is logged at every logging step; 0 turns it off.
        validation_sets (`int`, *optional*, defaults to `0`):
            Distilled sets that are generated at every evaluation, and classifiers that are trained on them; their
            accuracy on held-out rows is logged as `eval_learner_accuracy`, by which `load_best_model_at_end` chooses.
            0 turns it off.
        validation_dpc (`int`, *optional*, defaults to `5`):
            Rows per class of such a set.
        validation_learner_steps (`int`, *optional*, defaults to `200`):
            Updates of such a classifier.
        validation_rows (`int`, *optional*, defaults to `500`):
            Held-out rows at most on which it is tested.
    """

    learning_rate: float = field(default=3e-7, metadata={"help": "Initial learning rate of the generator."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    max_steps: int = field(default=20_000, metadata={"help": "Number of generator updates."})
    per_device_train_batch_size: int = field(default=1, metadata={"help": "Must be 1: see synthetic_per_class."})
    inner_steps: int = field(default=10, metadata={"help": "Generator updates along one learner trajectory."})
    learner_steps: int = field(default=20, metadata={"help": "Learner updates between two generator updates."})
    learner_batch_size: int = field(default=64, metadata={"help": "Real rows in one learner update."})
    learner_learning_rate: float = field(default=1e-4, metadata={"help": "Learning rate of the learner."})
    learner_lr_scheduler_type: str = field(
        default="constant",
        metadata={"help": "Schedule of the learner's learning rate.", "choices": ["constant", "linear", "cosine"]},
    )
    learner_warmup_ratio: float = field(
        default=0.0, metadata={"help": "Part of a trajectory during which the learner's learning rate rises from 0."}
    )
    match_parameters: str = field(
        default="head",
        metadata={"help": "Gradients in which parameters of the learner are matched.", "choices": ["head", "all"]},
    )
    synthetic_per_class: int = field(default=64, metadata={"help": "Synthetic rows per label in one update."})
    pool_per_class: int = field(default=640, metadata={"help": "Synthetic rows per label sampled at a time."})
    generate_interval: int = field(default=20, metadata={"help": "Outer steps between regenerations of the pool."})
    real_per_class: int = field(default=200, metadata={"help": "Real rows per label in a teacher set."})
    teacher_sets: int = field(default=10, metadata={"help": "Number of K-centers coresets of the real data."})
    teacher_accumulation: int = field(
        default=1, metadata={"help": "Coresets over which one real gradient is the mean."}
    )
    labels_per_step: int | None = field(
        default=None, metadata={"help": "Labels that are matched in one update (default: all)."}
    )
    lm_lambda: float = field(
        default=0.0, metadata={"help": "Weight of the language-model loss on real rows, between 0 and 1."}
    )
    lm_batch_size: int = field(default=64, metadata={"help": "Real rows of the language-model loss in one update."})
    normalize_temperature: float = field(default=1.0, metadata={"help": "T of the weights softmax(-nll / T)."})
    student: str = field(
        default="ema", metadata={"help": "Where the synthetic gradient is taken.", "choices": ["ema", "shared"]}
    )
    ema_decay: float = field(default=0.99, metadata={"help": "Decay of the student, per learner update."})
    student_head: str = field(
        default="copy",
        metadata={"help": "The student's head at the start of an outer step.", "choices": ["copy", "independent"]},
    )
    num_trajectories: int = field(
        default=0, metadata={"help": "Learner trajectories that are stored and used in turn; 0: always fresh ones."}
    )
    trajectory_dir: str | None = field(
        default=None, metadata={"help": "Where trajectories are stored (default: in output_dir)."}
    )
    max_graph_tokens: int = field(default=4096, metadata={"help": "Tokens whose forward graph may be held."})
    max_sampling_rounds: int = field(default=10, metadata={"help": "Rounds of sampling before giving up."})
    eval_snapshots: int = field(default=3, metadata={"help": "Learner snapshots at which evaluation measures."})
    held_out_samples: int = field(default=64, metadata={"help": "Held-out rows whose NLL is logged; 0 turns it off."})
    validation_sets: int = field(
        default=0, metadata={"help": "Sets generated and learned from at every evaluation; 0 turns it off."}
    )
    validation_dpc: int = field(default=5, metadata={"help": "Rows per class of such a set."})
    validation_learner_steps: int = field(default=200, metadata={"help": "Updates of a classifier trained on one."})
    validation_rows: int = field(default=500, metadata={"help": "Held-out rows on which the classifiers are tested."})

    def __post_init__(self):
        if self.load_best_model_at_end and self.metric_for_best_model is None and self.validation_sets:
            self.metric_for_best_model, self.greater_is_better = "learner_accuracy", True
        super().__post_init__()
        positive = (
            "inner_steps learner_steps learner_batch_size learner_learning_rate synthetic_per_class pool_per_class "
            "generate_interval real_per_class teacher_sets teacher_accumulation normalize_temperature lm_batch_size "
            "max_sampling_rounds eval_snapshots max_steps validation_dpc validation_learner_steps validation_rows"
        )
        for name in positive.split():
            if getattr(self, name) <= 0:
                raise UserError(f"--{name} must be positive, got {getattr(self, name)}")
        for name in ("num_trajectories", "held_out_samples", "validation_sets"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} must not be negative, got {getattr(self, name)}")
        if self.per_device_train_batch_size != 1:
            raise UserError("--per_device_train_batch_size must be 1 here; the batch is --synthetic_per_class")
        if self.synthetic_per_class < 2:
            raise UserError("--synthetic_per_class must be at least 2: one row alone has no weight to learn")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"--ema_decay must lie in [0, 1), got {self.ema_decay}")
        if not 0 <= self.learner_warmup_ratio < 1:
            raise UserError(f"--learner_warmup_ratio must lie in [0, 1), got {self.learner_warmup_ratio}")
        if not 0 <= self.lm_lambda < 1:
            raise UserError(
                f"--lm_lambda must lie in [0, 1), got {self.lm_lambda}; for the language-model loss alone run pretrain"
            )
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Raises `UserError` if sizes do not go together."""
        if self.pool_per_class < self.synthetic_per_class:
            raise UserError(
                f"--pool_per_class {self.pool_per_class} is smaller than --synthetic_per_class "
                f"{self.synthetic_per_class}; one batch needs that many rows"
            )
        if self.teacher_accumulation > self.teacher_sets:
            raise UserError(
                f"--teacher_accumulation {self.teacher_accumulation} is more than the --teacher_sets "
                f"{self.teacher_sets}; make more sets or accumulate fewer"
            )
        if self.labels_per_step is not None and self.labels_per_step < 1:
            raise UserError(f"--labels_per_step must be at least 1, got {self.labels_per_step}")
        if self.trajectory_dir is not None and not self.num_trajectories:
            raise UserError("--trajectory_dir needs --num_trajectories: say how many of its trajectories to use")
        if self.load_best_model_at_end and self.metric_for_best_model in ("learner_accuracy", "eval_learner_accuracy"):
            if not self.validation_sets:
                raise UserError("choosing the best checkpoint by learner_accuracy needs --validation_sets, e.g. 3")
