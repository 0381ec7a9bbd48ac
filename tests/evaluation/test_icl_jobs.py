# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What an in-context evaluation consists of, and what identifies it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ddg_hf.configs import RunArguments
from ddg_hf.data.tasks import get_task
from ddg_hf.evaluation.demonstrations import DemonstrationSet, RetrievedDemonstrations
from ddg_hf.evaluation.icl import PromptTemplate
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.evaluation.icl.evaluator import ICLEvaluator
from ddg_hf.evaluation.icl_jobs import (
    default_output_dir,
    fill_context,
    fingerprint_content,
    make_jobs,
    rows_per_class,
    run_jobs,
)
from ddg_hf.evaluation.partial_runs import PartialRuns, fingerprint
from tests.evaluation.predictions import make_prediction

SPEC = get_task("sst2")
ROWS = tuple(((f"text {i}",), i % 2) for i in range(24))
QUERIES = [("one",), ("two words",), ("",)]
SETS = {n: [DemonstrationSet(s, ROWS[2 * s : 2 * s + 2 * n]) for s in range(3)] for n in (2, 4)}


class WordBackend:
    """Counts words as tokens; cannot answer."""

    failures: list[str] = []

    def __init__(self, context_length):
        self.context_length = context_length

    def count_tokens(self, texts, with_special_tokens=False):
        return [len(text.split()) for text in texts]


class Evaluator:
    """Says label 0 and remembers what it was shown; may fail at a job, or in a query."""

    def __init__(self, stop_at=None, fail_at=None):
        self.shown, self.stop_at, self.fail_at = [], stop_at, fail_at

    def evaluate(self, demonstrations, queries, progress):
        if len(self.shown) == self.stop_at:
            raise KeyboardInterrupt
        self.shown.append(demonstrations)
        progress(len(queries))
        failed_Q = np.full(len(queries), len(self.shown) == self.fail_at)
        return make_prediction(np.zeros(len(queries), int), failed_Q=failed_Q)

    evaluate_each = evaluate


def jobs_of(sets=SETS, **values):
    return make_jobs(ICLEvaluationArguments(**values), sets, 2, QUERIES, seed=1)


def test_a_job_for_each_set_and_order():
    jobs = jobs_of(orders=2)
    assert [(job.dpc, job.rounds, job.set_id, job.order) for job in jobs] == [
        (n, n, s, order) for n in (2, 4) for s in range(3) for order in range(2)
    ]
    assert len({job.name for job in jobs}) == 12
    assert jobs[0].demonstrations != jobs[1].demonstrations
    assert sorted(jobs[0].demonstrations) == sorted(jobs[1].demonstrations) == sorted(SETS[2][0].rows)
    labels = [label for _, label in jobs_of(order_by="sorted")[3].demonstrations]
    assert labels == [0] * 4 + [1] * 4


def test_rounds_show_part_of_a_set_and_zero_shot_shows_nothing():
    assert {(job.dpc, job.rounds, len(job.demonstrations)) for job in jobs_of(rounds=1)} == {(2, 1, 2), (4, 1, 2)}
    (job,) = jobs_of({0: [DemonstrationSet(0, ())]}, orders=5, rounds=3)
    assert (job.rounds, list(job.demonstrations)) == (0, [])


def test_retrieved_demonstrations_have_one_order():
    retrieved = RetrievedDemonstrations(ROWS, 2, 2, lambda queries, k: np.tile(np.arange(k), (len(queries), 1)))
    (job,) = jobs_of({2: [retrieved]}, orders=3, rounds=1)
    assert job.each and len(job.demonstrations) == len(QUERIES)
    assert job.demonstrations[0] == [ROWS[1], ROWS[0]]


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, None),
        ({"rounds": 3}, [3]),
        ({"rounds": 3, "dpc": [7]}, [7]),
        ({"distilled": "a/b", "context_length": "2k"}, None),
        ({"context_length": "96"}, [6]),  # 8 tokens x 2 labels a round
        ({"context_length": "2k"}, [10]),  # of label 1 there are no more
        ({"context_length": "2k", "demonstrations": "random"}, [15]),
        ({"context_length": "2k", "demonstrations": "bm25"}, [15]),
        ({"context_length": "2k", "rounds": 2}, [2]),
        ({"context_length": "8"}, [1]),
    ],
)
def test_rows_per_class(values, expected):
    assert rows_per_class(ICLEvaluationArguments(**values), [0] * 20 + [1] * 10, 2) == expected


def test_filling_the_context_shows_as_many_rounds_in_all_prompts():
    """Longer rows in one set: what fits there is shown everywhere."""
    long_rows = tuple(((f"a longer text {i}",), i % 2) for i in range(8))
    sets = {4: [DemonstrationSet(0, ROWS[:8]), DemonstrationSet(1, long_rows)]}
    jobs = jobs_of(sets)
    template = PromptTemplate.from_task(SPEC)
    evaluator = ICLEvaluator(WordBackend(60), template, drop_rounds=True)
    filled = fill_context(jobs, evaluator, QUERIES)
    rounds = filled[0].rounds
    assert 1 <= rounds < 4
    assert {(job.dpc, job.rounds, len(job.demonstrations)) for job in filled} == {(rounds, rounds, 2 * rounds)}
    assert set(filled[1].demonstrations) < set(long_rows)
    words = [len(f"{template.prefix(job.demonstrations)} {template.query(QUERIES[1])}".split()) for job in filled]
    assert words[0] < words[1] <= 60


def test_a_stopped_series_goes_on(tmp_path):
    jobs = jobs_of()
    partial = PartialRuns(tmp_path, fingerprint("series"))
    first, second, whole = Evaluator(stop_at=4), Evaluator(), Evaluator()
    done = []
    with pytest.raises(KeyboardInterrupt):
        run_jobs(first, jobs, QUERIES, partial, 1, lambda name, count: None)
    runs = run_jobs(second, jobs, QUERIES, partial, 1, lambda name, count: done.append((name, count)))
    expected = run_jobs(whole, jobs, QUERIES, PartialRuns(tmp_path, fingerprint("other")), 1, lambda name, count: None)
    assert first.shown + second.shown == whole.shown and len(second.shown) == 2
    assert [(r.dpc, r.set_id, r.order) for r in runs] == [(r.dpc, r.set_id, r.order) for r in expected]
    assert done == [(job.name, len(QUERIES)) for job in jobs]


def test_the_same_prompt_is_answered_once(tmp_path):
    """As of K-centers with one row per class: all its sets are the same."""
    first, second, *others = jobs_of()
    jobs = [first, second, *(dataclasses.replace(job, demonstrations=first.demonstrations) for job in others)]
    partial, evaluator, done = PartialRuns(tmp_path, fingerprint("series")), Evaluator(), []
    runs = run_jobs(evaluator, jobs, QUERIES, partial, 1, lambda name, count: done.append((name, count)))
    assert evaluator.shown == [first.demonstrations, second.demonstrations]
    assert done == [(job.name, len(QUERIES)) for job in jobs] and all(partial.has(job.name) for job in jobs)
    assert [(r.dpc, r.set_id, r.order) for r in runs] == [(j.dpc, j.set_id, j.order) for j in jobs]
    for run in runs[2:]:
        assert (run.prediction.predictions_Q == runs[0].prediction.predictions_Q).all() and run.prediction.seconds == 0
    again = run_jobs(Evaluator(stop_at=0), jobs, QUERIES, partial, 1, lambda name, count: None)
    assert [r.prediction.seconds for r in again] == [r.prediction.seconds for r in runs]
    failing = Evaluator(fail_at=1)
    run_jobs(failing, jobs, QUERIES, PartialRuns(tmp_path, fingerprint("x")), 1, lambda name, count: None)
    assert failing.shown == [first.demonstrations, second.demonstrations, first.demonstrations]


def test_a_job_with_failed_queries_is_done_again(tmp_path):
    jobs = jobs_of()
    partial = PartialRuns(tmp_path, fingerprint("series"))
    first, second = Evaluator(fail_at=2), Evaluator()
    for evaluator in (first, second):
        runs = run_jobs(evaluator, jobs, QUERIES, partial, 1, lambda name, count: None)
    assert second.shown == [jobs[1].demonstrations]
    assert not any(run.prediction.failed_Q.any() for run in runs)


def content_of(jobs=None, run_arguments=None, data="a", queries=(1, 2), **values):
    arguments = [ICLEvaluationArguments(**values), run_arguments or RunArguments()]
    return fingerprint(fingerprint_content(arguments, SPEC, {"train": data}, queries, jobs or jobs_of()))


def test_fingerprint_changes_with_what_the_results_depend_on():
    other_rows = {2: [DemonstrationSet(0, (*ROWS[:3], (("text 3.",), 1)))]}
    different = [
        content_of(),
        content_of(run_arguments=RunArguments(seed=1)),
        content_of(data="b"),
        content_of(queries=(1, 3)),
        content_of(jobs_of({2: SETS[2][:1]})),
        content_of(jobs_of(other_rows)),
        content_of(instruct=True),
        content_of(scoring="generate"),
        content_of(base_url="http://localhost:1/v1"),
    ]
    assert len(set(different)) == len(different)


def test_fingerprint_does_not_change_with_anything_else():
    run_arguments = RunArguments(output_dir="elsewhere", overwrite=True)
    same = content_of(run_arguments=run_arguments, token_budget=7, api_key="secret", concurrency=1, timeout=3.0)
    assert same == content_of()


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"rounds": 5, "test_number": 500}, "runs/banking77/icl_qwen_balanced_r5"),
        ({"context_length": "2k", "instruct": True}, "runs/banking77/icl_qwen_balanced_c2048_instruct"),
        ({"distilled": "user/sst2 sets", "dpc": [5, 10]}, "runs/banking77/icl_qwen_sst2-sets_dpc5-10"),
        ({"scoring": "generate", "chat": "user"}, "runs/banking77/icl_qwen_balanced_generate_chat-user"),
    ],
)
def test_default_output_dir(values, expected):
    assert default_output_dir("banking77", "qwen", ICLEvaluationArguments(**values)) == Path(expected)


def test_default_output_dir_of_a_path():
    found = default_output_dir("my data", "/models/Some Model/", ICLEvaluationArguments())
    assert found == Path("runs/my-data/icl_Some-Model_balanced")
