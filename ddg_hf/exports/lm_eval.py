# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations as a task of lm-evaluation-harness, with fixed few-shot samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.tasks import TaskSpec
from ..evaluation.demonstrations import Demonstration
from ..evaluation.icl.prompts import PromptTemplate, flatten
from .templates import (
    block_end,
    check_rows,
    escape_jinja,
    instruction_block,
    label_space,
    label_words,
    query_template,
    variable_names,
)

QUERIES_FILE = "queries.parquet"
_METRICS = {"accuracy": "acc", "f1": "f1", "matthews_correlation": "mcc"}
# What `flatten` does, in the harness's Jinja2.
_FLAT = (
    r"|regex_replace('[\x00-\x1f\x7f-\x9f\u2028\u2029]+', ' ')|regex_replace('[\u202a-\u202e\u2066-\u2069]+', '')|trim"
)


def query_file(spec: TaskSpec, queries: Sequence[Demonstration]) -> bytes:
    """Returns labelled queries as a Parquet file: their texts, each on one line, and `label` (id)."""
    columns = zip(*(map(flatten, texts) for texts, _ in queries), strict=True)
    table = {name: list(texts) for name, texts in zip(variable_names(spec), columns, strict=True)}
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(table | {"label": [label for _, label in queries]}), file, compression="zstd")
    return file.getvalue().to_pybytes()


def local_queries(path: Path) -> dict[str, Any]:
    """Returns the entries of a task that reads the table at `path` (of [`query_file`])."""
    return {
        "dataset_path": "parquet",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
    }


def is_on_hub(spec: TaskSpec, split: str) -> bool:
    """Returns whether the harness can read a split from the Hub: it is there, and no row has to be left out."""
    return spec.hub_id is not None and spec.row_filter is None and split in dict(spec.splits)


def hub_queries(spec: TaskSpec, split: str) -> dict[str, Any]:
    """Returns the entries of a task that reads a split (`validation`, `test`) from the Hub; see [`is_on_hub`]."""
    assert is_on_hub(spec, split), f"{spec.name} has no {split} on the Hub"
    entries: dict[str, Any] = {"dataset_path": spec.hub_id}
    if spec.hub_config is not None:
        entries["dataset_name"] = spec.hub_config
    if spec.hub_revision is not None:
        entries["dataset_kwargs"] = {"revision": spec.hub_revision}
    return entries | {"test_split": dict(spec.splits)[split]}


def lm_eval_task(
    name: str,
    spec: TaskSpec,
    template: PromptTemplate,
    rows: Sequence[Demonstration],
    queries: dict[str, Any],
) -> dict[str, Any]:
    """
    Returns a task: `multiple_choice` over the label words, whose prompts are those of the evaluation in context. It
    has no `!function`, so that nothing in it runs.

    Args:
        name: Name of the task.
        spec: The data.
        template: How a row is written.
        rows: Demonstrations in the order of the prompt.
        queries: Where the queries are: [`local_queries`] or [`hub_queries`].

    Raises:
        UserError: the prompt cannot be written as a template.
    """
    check_rows(template, rows, "lm-eval")
    names = variable_names(spec)
    local = queries["dataset_path"] == "parquet"
    target = "label" if local else spec.hub_label_column or spec.label_column
    metrics = [m for m in ("accuracy", *spec.metrics) if m != "f1" or spec.num_labels == 2]
    samples = [dict(zip(names, map(flatten, texts), strict=True)) | {target: label} for texts, label in rows]
    return {
        "task": name,
        **queries,
        "output_type": "multiple_choice",
        "description": escape_jinja(instruction_block(template)),
        "doc_to_text": query_template(
            template, names, escape_jinja, lambda name: f"{{{{{name}{'' if local else _FLAT}}}}}"
        ),
        "doc_to_target": target,
        "doc_to_choice": label_words(template),
        "target_delimiter": label_space(template),
        "fewshot_delimiter": block_end(template),
        "num_fewshot": len(rows),
        "fewshot_config": {"sampler": "first_n", "samples": samples},
        "metric_list": [
            {"metric": _METRICS[metric], "aggregation": "mean" if metric == "accuracy" else _METRICS[metric]}
            | {"higher_is_better": True}
            for metric in dict.fromkeys(metrics)
        ],
        "metadata": {"version": 1.0},
    }
