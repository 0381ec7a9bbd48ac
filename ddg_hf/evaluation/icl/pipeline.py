# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Classification by demonstrations as a pipeline of transformers."""

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import describe_distilled, select_sets

from .calibration import contextual_calibrate, log_normalize
from .evaluator import CONTENT_FREE, ICLEvaluator
from .prompts import Demonstration, PromptTemplate, Texts
from .transformers_backend import TransformersBackend

TASK = "icl-classification"
DEFAULT_BATCH_SIZE = 64


class ICLClassificationPipeline(Pipeline):
    """
    Classifies texts with a causal language model that is shown demonstrations.

    Importing this class registers the task:

    ```python
    >>> from transformers import pipeline
    >>> from ddg_hf import ICLClassificationPipeline

    >>> classify = pipeline("icl-classification", model="Qwen/Qwen2.5-0.5B", demonstrations="user/sst2-ddg")
    >>> classify("a gripping film")
    [{'label': 'positive', 'score': 0.93}, {'label': 'negative', 'score': 0.07}]
    ```

    A text is a string; where a task has several columns, it is a tuple, or a dictionary with the columns' names.
    Lists, datasets and generators of texts are read in batches of `batch_size` (64 by default). What the model has
    read of the demonstrations is kept between calls.

    Args:
        model, tokenizer, device, batch_size, ...: see [`~transformers.Pipeline`].
        demonstrations (`str` or `list`): directory or Hub id of distilled sets, or pairs (texts, label id) in the
            order in which the prompt shows them.
        spec (`TaskSpec`, *optional*): the task. By default what the distilled sets say of themselves.
        dpc (`int`, *optional*): demonstrations per class: which configuration to show. The largest by default.
        set_id (`int`, *optional*): which of its sets; the first by default.
        rounds (`int`, *optional*): demonstrations per class that are shown; all by default.
        seed (`int`, *optional*, defaults to `42`): of the order of the demonstrations.
        calibration (`str`, *optional*, defaults to `"none"`): `contextual` divides by what the model answers to
            queries without content ([`~ddg_hf.evaluation.icl.calibration.contextual_calibrate`]).
        template (`PromptTemplate`, *optional*): how prompts are written; from the task by default.
        top_k (`int`, *optional*): how many labels are returned, the most likely first; all by default. Can also be
            given to a call.

    Raises:
        UserError: the demonstrations cannot be loaded or do not fit into the model's context.
    """

    _load_tokenizer = True
    _load_processor = _load_image_processor = _load_video_processor = _load_feature_extractor = False

    def __init__(
        self,
        model,
        tokenizer=None,
        demonstrations: str | Sequence[Demonstration] = (),
        spec: TaskSpec | None = None,
        dpc: int | None = None,
        set_id: int | None = None,
        rounds: int | None = None,
        seed: int = 42,
        calibration: str = "none",
        template: PromptTemplate | None = None,
        **kwargs,
    ):
        if calibration not in ("none", "contextual"):
            raise UserError(f"unknown calibration '{calibration}'; use none or contextual")
        super().__init__(model=model, tokenizer=tokenizer, **kwargs)
        self._batch_size = self._batch_size or DEFAULT_BATCH_SIZE
        if isinstance(demonstrations, str):
            spec = spec or describe_distilled(demonstrations)
            demonstrations = _shown(demonstrations, spec, dpc, set_id, rounds, seed)
        elif spec is None:
            raise UserError("demonstrations that are given as rows need the task too: pass spec=TaskSpec(...)")
        self.spec, self.demonstrations = spec, list(demonstrations)
        template = template or PromptTemplate.from_task(spec)
        backend = TransformersBackend(self.model, self.tokenizer, keep_prefix=True)
        self.evaluator = ICLEvaluator(backend, template)
        # Reads the demonstrations, which the calls that follow find read, and queries without content.
        first = self.evaluator.evaluate(self.demonstrations, [CONTENT_FREE[:1] * len(spec.text_columns)])
        self.evaluator.contextual = False
        self._contextual_K = first.contextual_logprobs_K if calibration == "contextual" else None

    def _sanitize_parameters(self, top_k: int | None = None, **unknown):
        if unknown:
            raise UserError(f"unknown parameter {', '.join(unknown)} of the pipeline {TASK}")
        if top_k is not None and top_k < 1:
            raise UserError(f"top_k must be at least 1, got {top_k}")
        return {}, {}, {} if top_k is None else {"top_k": top_k}

    def __call__(self, inputs, **kwargs):
        """See [`ICLClassificationPipeline`]. A dataset's rows are dictionaries: they are taken one by one."""
        if isinstance(inputs, Dataset):
            inputs = (row for row in inputs)
        return super().__call__(inputs, **kwargs)

    def preprocess(self, inputs: str | Sequence[str] | dict[str, str]) -> dict[str, Texts]:
        """A text, a tuple of texts or a dictionary of them, as the texts of a query."""
        columns = self.spec.text_columns
        if isinstance(inputs, dict):
            missing = [name for name in columns if name not in inputs]
            if missing:
                raise UserError(f"an input has no '{missing[0]}'; the columns of the task are {', '.join(columns)}")
            inputs = [inputs[name] for name in columns]
        texts = (inputs,) if isinstance(inputs, str) else tuple(inputs or ())
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"an input must be a text, or one for each of the columns {', '.join(columns)}")
        if len(texts) != len(columns):
            raise UserError(f"an input has {len(texts)} texts, but the columns of the task are {', '.join(columns)}")
        return {"texts": texts}

    def get_iterator(
        self, inputs, num_workers: int, batch_size: int, preprocess_params, forward_params, postprocess_params
    ):
        """Batches are lists of texts: the evaluator pads and orders them."""
        kind = PipelineDataset if isinstance(inputs, Sized) else PipelineIterator
        loader = DataLoader(
            kind(inputs, self.preprocess, preprocess_params),
            num_workers=min(num_workers, 1) if kind is PipelineIterator else num_workers,
            batch_size=batch_size,
            collate_fn=list,
        )
        outputs = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(outputs, self.postprocess, postprocess_params)

    def _forward(self, model_inputs: dict[str, Texts] | list[dict[str, Texts]]) -> dict[str, torch.Tensor]:
        rows = model_inputs if isinstance(model_inputs, list) else [model_inputs]
        prediction = self.evaluator.evaluate(self.demonstrations, [row["texts"] for row in rows])
        logprobs_BK = log_normalize(prediction.logprobs_QK)
        if self._contextual_K is not None:
            logprobs_BK = contextual_calibrate(logprobs_BK, self._contextual_K)
        return {"probabilities": torch.from_numpy(np.exp(logprobs_BK))}

    def postprocess(self, model_outputs: dict[str, torch.Tensor], top_k: int | None = None) -> list[dict[str, Any]]:
        """The labels with their probabilities, which sum to 1, the most likely first."""
        probabilities_K = model_outputs["probabilities"][0].tolist()
        order = sorted(range(len(probabilities_K)), key=lambda label: (-probabilities_K[label], label))
        return [{"label": self.spec.label_names[k], "score": probabilities_K[k]} for k in order[:top_k]]


def _shown(
    source: str, spec: TaskSpec, dpc: int | None, set_id: int | None, rounds: int | None, seed: int
) -> list[Demonstration]:
    sets = select_sets(spec, [], source, None, None if dpc is None else [dpc], None, seed)
    dpc = max(sets) if dpc is None else dpc
    members = {member.set_id: member for member in sets[dpc]}
    if set_id is not None and set_id not in members:
        raise UserError(f"'{source}' has no set {set_id} for dpc {dpc}; there are {sorted(members)}")
    member = members[min(members) if set_id is None else set_id]
    return member.in_order(rounds or dpc, spec.num_labels, stable_seed("order", seed, member.set_id, 0))


PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=ICLClassificationPipeline, pt_model=AutoModelForCausalLM)
