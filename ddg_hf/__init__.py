# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Readable synthetic demonstrations from a labelled text dataset. The public names, loaded when they are used."""

import importlib
from typing import TYPE_CHECKING

from .errors import UserError
from .version import __version__

_NAMES = {
    "TaskSpec": "data.tasks",
    "get_task": "data.tasks",
    "load_data": "data.loading",
    "Generator": "models.generator",
    "Learner": "models.learner",
    "TextEncoder": "models.encoder",
    "GeneratorPretrainingConfig": "trainer.lm_config",
    "GeneratorPretrainingTrainer": "trainer.lm_trainer",
    "DistillationConfig": "trainer.distillation_config",
    "DistillationTrainer": "trainer.distillation_trainer",
    "GenerationArguments": "generation_config",
    "generate_sets": "generation",
    "ICLEvaluator": "evaluation.icl.evaluator",
    "ICLClassificationPipeline": "evaluation.icl.pipeline",
    "PromptTemplate": "evaluation.icl.prompts",
    "TransformersBackend": "evaluation.icl.transformers_backend",
    "LabelProbe": "evaluation.label_control",
    "load_demonstrations": "hub.pull",
    "pull_distilled": "hub.pull",
    "push_distilled": "hub.push",
    "open_distilled": "formats.directory",
    "run_checks": "quality.report",
}

__all__ = ["UserError", "__version__", *_NAMES]

if TYPE_CHECKING:
    from .data.loading import load_data as load_data
    from .data.tasks import TaskSpec as TaskSpec
    from .data.tasks import get_task as get_task
    from .evaluation.icl.evaluator import ICLEvaluator as ICLEvaluator
    from .evaluation.icl.pipeline import ICLClassificationPipeline as ICLClassificationPipeline
    from .evaluation.icl.prompts import PromptTemplate as PromptTemplate
    from .evaluation.icl.transformers_backend import TransformersBackend as TransformersBackend
    from .evaluation.label_control import LabelProbe as LabelProbe
    from .formats.directory import open_distilled as open_distilled
    from .generation import generate_sets as generate_sets
    from .generation_config import GenerationArguments as GenerationArguments
    from .hub.pull import load_demonstrations as load_demonstrations
    from .hub.pull import pull_distilled as pull_distilled
    from .hub.push import push_distilled as push_distilled
    from .models.encoder import TextEncoder as TextEncoder
    from .models.generator import Generator as Generator
    from .models.learner import Learner as Learner
    from .quality.report import run_checks as run_checks
    from .trainer.distillation_config import DistillationConfig as DistillationConfig
    from .trainer.distillation_trainer import DistillationTrainer as DistillationTrainer
    from .trainer.lm_config import GeneratorPretrainingConfig as GeneratorPretrainingConfig
    from .trainer.lm_trainer import GeneratorPretrainingTrainer as GeneratorPretrainingTrainer


def __getattr__(name: str):
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
