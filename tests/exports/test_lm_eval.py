# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tasks, loaded and run by lm-evaluation-harness."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl.evaluator import ICLEvaluator
from ddg_hf.evaluation.icl.prompts import flatten
from ddg_hf.evaluation.icl.transformers_backend import TransformersBackend
from ddg_hf.exports.lm_eval import hub_queries, is_on_hub, lm_eval_task, local_queries, query_file
from ddg_hf.exports.yaml_text import dump_yaml

from .helpers import HOSTILE, MULTILINE, SINGLE, SPECS, TEXTS, rows_of, template_of

QUERIES = [*HOSTILE[:6], *MULTILINE]


def write_task(folder, spec, rows, queries):
    """Writes the files of a task as the recipe does; returns its name."""
    name = f"{spec.name}_dpc_5_set0"
    (folder / "queries.parquet").write_bytes(query_file(spec, queries))
    task = lm_eval_task(name, spec, template_of(spec), rows, local_queries(folder / "queries.parquet"))
    (folder / f"{name}.yaml").write_text(dump_yaml(task), encoding="utf-8")
    return name


@pytest.fixture
def harness(tmp_path, make_gpt2, tiny_tokenizer, monkeypatch):
    """
    Runs the task of the rows and queries on a tiny model. Returns the results of the harness and those of the
    evaluation in context.
    """
    pytest.importorskip("lm_eval", reason="runs the task with lm-evaluation-harness")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    def run(spec, rows, queries):
        name = write_task(tmp_path, spec, rows, queries)
        model = make_gpt2(len(tiny_tokenizer), n_positions=2048).eval()
        results = simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tiny_tokenizer, batch_size=4),
            tasks=[name],
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            bootstrap_iters=0,
        )
        assert results["n-shot"] == {name: len(rows)}
        assert results["n-samples"] == {name: {"original": len(queries), "effective": len(queries)}}
        evaluator = ICLEvaluator(TransformersBackend(model, tiny_tokenizer), template_of(spec), "likelihood")
        predicted = evaluator.evaluate(rows, [texts for texts, _ in queries])
        return results["results"][name], results["samples"][name], predicted

    return run


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_harness_shows_our_prompts(spec, harness):
    rows, queries = rows_of(spec), rows_of(spec, QUERIES)
    _, samples, _ = harness(spec, rows, queries)
    assert [sample["target"] for sample in samples] == [label for _, label in queries]
    prompts = template_of(spec).prompts(rows, [texts for texts, _ in queries])
    for sample, query in zip(samples, prompts.queries, strict=True):
        shown = [tuple(arguments) for arguments in sample["arguments"]]
        assert shown == [(prompts.prefix + query, continuation) for continuation in prompts.continuations]


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_harness_gives_our_scores(spec, harness):
    rows, queries = rows_of(spec, ["a film", "{one} more", "the end"]), rows_of(spec, QUERIES)
    measured, samples, predicted = harness(spec, rows, queries)
    scores_QK = [[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples]
    np.testing.assert_allclose(scores_QK, predicted.logprobs_QK, rtol=1e-4)
    accuracy = np.mean(predicted.predictions_Q == [label for _, label in queries])
    assert measured["acc,none"] == pytest.approx(accuracy)


@settings(deadline=None)
@given(st.lists(TEXTS.filter(flatten), min_size=1, max_size=4))
def test_the_harness_writes_rows_of_the_hub_on_one_line(texts):
    utils = pytest.importorskip("lm_eval.utils", reason="renders templates with lm-evaluation-harness")
    spec = dataclasses.replace(SINGLE, hub_id="user/reviews")
    template = template_of(spec)
    task = lm_eval_task("x", spec, template, rows_of(spec, texts), hub_queries(spec, "validation"))
    for text in texts:
        assert utils.apply_template(task["doc_to_text"], {"sentence": text}) == template.query((text,))
    assert utils.apply_template(task["description"], {}) == template.prefix([])


def test_task_is_plain_data():
    task = lm_eval_task("x", SINGLE, template_of(SINGLE), rows_of(SINGLE), local_queries("q.parquet"))
    text = dump_yaml(task)
    assert yaml.safe_load(text) == json.loads(json.dumps(task))
    assert not any(getattr(event, "tag", None) for event in yaml.parse(text))


@pytest.mark.parametrize("name", TASKS)
def test_registered_tasks_on_the_hub(name):
    spec = TASKS[name]
    if not is_on_hub(spec, "validation"):
        assert name in ("toy", "go_emotions", "cr", "ag_news", "banking77")
        return
    task = lm_eval_task(
        name, spec, template_of(spec), [(("a",) * len(spec.text_columns), 0)], hub_queries(spec, "validation")
    )
    assert (task["dataset_path"], task.get("dataset_name")) == (spec.hub_id, spec.hub_config)
    assert task.get("dataset_kwargs", {}).get("revision") == spec.hub_revision
    assert task["test_split"] == ("validation_matched" if name == "mnli" else "validation")
    assert task["doc_to_target"] in task["fewshot_config"]["samples"][0]


def test_metrics_are_those_of_the_task():
    def metrics(name):
        spec = TASKS[name]
        rows = [(("a",) * len(spec.text_columns), 0)]
        return [
            m["metric"] for m in lm_eval_task("x", spec, template_of(spec), rows, local_queries("q"))["metric_list"]
        ]

    assert metrics("sst2") == ["acc"]
    assert metrics("qqp") == ["acc", "f1"]
    assert metrics("cola") == ["acc", "mcc"]
    assert metrics("banking77") == ["acc"]  # the harness's f1 is that of two classes


def test_empty_text_is_an_error():
    with pytest.raises(UserError, match="lm-eval cannot write"):
        lm_eval_task("x", SINGLE, template_of(SINGLE), [(("",), 0)], local_queries("q.parquet"))
