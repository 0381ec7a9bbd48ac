# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What an in-context evaluation consists of: one job for each set of demonstrations and each of its orders."""

import dataclasses
import importlib.metadata
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ddg_hf.data.samplers import stable_seed
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.arguments import RETRIEVED
from ddg_hf.evaluation.demonstrations import Demonstration, RetrievedDemonstrations, Texts
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.evaluation.icl.evaluator import ICLEvaluator, ICLPrediction
from ddg_hf.evaluation.icl.protocol import keep_rounds, num_rounds
from ddg_hf.evaluation.icl_results import ICLRun
from ddg_hf.evaluation.partial_runs import PartialRuns

# No demonstration is shorter: a name, a colon and a word for a text and for its label, and two line ends.
SHORTEST_DEMONSTRATION = 8
# Arguments that change where results go or how fast they come, but not what they are.
_IRRELEVANT = ("output_dir", "overwrite", "api_key", "concurrency", "max_retries", "timeout", "token_budget")


@dataclass(frozen=True)
class Job:
    """
    One set of demonstrations in one order, to be shown to all queries.

    Attributes:
        dpc: Demonstrations per class of the set; 0 for zero-shot.
        rounds: Demonstrations per class that the prompt is to show.
        set_id: Number of the set.
        order: Number of the order.
        demonstrations: Pairs (texts, label id) in the order of the prompt; with `each`, such a list for every query.
        each: Whether every query has demonstrations of its own.
    """

    dpc: int
    rounds: int
    set_id: int
    order: int
    demonstrations: Sequence[Demonstration] | Sequence[Sequence[Demonstration]]
    each: bool = False

    @property
    def name(self) -> str:
        """Name of a file for the job, without its suffix."""
        return f"dpc{self.dpc}_rounds{self.rounds}_set{self.set_id}_order{self.order}"

    def run(
        self, evaluator: ICLEvaluator, queries: Sequence[Texts], progress: Callable[[int], None] | None = None
    ) -> ICLPrediction:
        """Shows the demonstrations to the evaluator's model with every query."""
        evaluate = evaluator.evaluate_each if self.each else evaluator.evaluate
        return evaluate(self.demonstrations, queries, progress)

    def shown(self, evaluator: ICLEvaluator, queries: Sequence[Texts]) -> list:
        """The demonstrations that fit. Raises `UserError` if some do not and are not to be dropped, or none does."""
        fit = evaluator.shown_each if self.each else evaluator.shown
        return fit(self.demonstrations, queries)


def fills_context(arguments: ICLEvaluationArguments) -> bool:
    """
    Whether as many rows of the training split are shown as the context takes (`--context_length` alone), instead of a
    number that the arguments give.
    """
    given = (arguments.distilled, arguments.dpc, arguments.rounds)
    from_training = arguments.demonstrations != "zero_shot"
    return arguments.context_length is not None and from_training and all(value is None for value in given)


def rows_per_class(arguments: ICLEvaluationArguments, labels_N: Sequence[int], num_labels: int) -> list[int] | None:
    """
    Returns how many rows of the training split are drawn for each class; `None` for what the source has by default.

    To fill a context it is more than fit, as far as there are so many: [`fill_context`] drops the rest.
    """
    if arguments.dpc is not None or arguments.distilled is not None:
        return arguments.dpc
    if not fills_context(arguments):
        return None if arguments.rounds is None else [arguments.rounds]
    counts_K = np.bincount(np.asarray(labels_N, dtype=np.int64), minlength=num_labels)
    whatever = arguments.demonstrations in ("random", *RETRIEVED)
    there = len(labels_N) // num_labels if whatever else int(counts_K.min())
    most = arguments.context_length // (SHORTEST_DEMONSTRATION * num_labels)
    return [max(1, min(there, most))]


def make_jobs(
    arguments: ICLEvaluationArguments,
    sets: dict[int, list],
    num_labels: int,
    queries: Sequence[Texts],
    seed: int,
) -> list[Job]:
    """
    Returns the jobs of an evaluation. An order that cannot be made is an error here, before a model is loaded.

    Args:
        arguments: `rounds`, `orders` and `order_by`.
        sets: Sets by their rows per class (0 for zero-shot), as `select_sets` gives them.
        num_labels: Number of classes.
        queries: Texts of the queries, for what is retrieved.
        seed: Seed of the orders.

    Raises:
        UserError: a set has too few rows for `rounds`.
    """
    jobs = []
    for dpc, members in sets.items():
        rounds = 0 if dpc == 0 else arguments.rounds or dpc
        for member in members:
            if isinstance(member, RetrievedDemonstrations):
                jobs.append(Job(dpc, rounds, member.set_id, 0, member.for_queries(queries, rounds), each=True))
                continue
            for order in range(1 if dpc == 0 else arguments.orders):
                order_seed = stable_seed("order", seed, member.set_id, order)
                shown = member.in_order(rounds, num_labels, order_seed, order_by=arguments.order_by)
                jobs.append(Job(dpc, rounds, member.set_id, order, shown))
    return jobs


def fill_context(jobs: Sequence[Job], evaluator: ICLEvaluator, queries: Sequence[Texts]) -> list[Job]:
    """Returns the jobs with the greatest number of rounds that fits in all of them."""
    num_labels = evaluator.template.num_labels
    shown = [job.shown(evaluator, queries) for job in jobs]
    rounds = min(
        max(num_rounds(some, num_labels) for some in (rows if job.each else [rows]))
        for job, rows in zip(jobs, shown, strict=True)
    )
    filled = []
    for job, rows in zip(jobs, shown, strict=True):
        if job.each:
            kept = [keep_rounds(own, rounds, num_labels, retrieved=True) for own in rows]
        else:
            kept = keep_rounds(rows, rounds, num_labels)
        filled.append(dataclasses.replace(job, dpc=rounds, rounds=rounds, demonstrations=kept))
    return filled


def fingerprint_content(
    all_arguments: Sequence[Any], spec: TaskSpec, data: dict[str, str], query_ids: Sequence[int], jobs: Sequence[Job]
) -> dict[str, Any]:
    """
    Returns all that the results of an evaluation depend on, for
    [`~ddg_hf.evaluation.partial_runs.fingerprint`]: versions, arguments, task, data, queries and demonstrations.

    Args:
        all_arguments: Argument dataclasses. What only changes where results go or how fast they come is left out.
        spec: The task.
        data: Fingerprints of the splits.
        query_ids: Row numbers of the queries.
        jobs: The jobs.
    """
    merged: dict[str, Any] = {}
    for arguments in all_arguments:
        merged |= dataclasses.asdict(arguments)
    return {
        "versions": {name: importlib.metadata.version(name) for name in ("ddg_hf", "torch", "transformers")},
        "arguments": {name: value for name, value in merged.items() if name not in _IRRELEVANT},
        "task": dataclasses.asdict(spec),
        "data": data,
        "queries": [int(i) for i in query_ids],
        "jobs": [[job.name, job.demonstrations] for job in jobs],
    }


def run_jobs(
    evaluator: ICLEvaluator,
    jobs: Sequence[Job],
    queries: Sequence[Texts],
    partial: PartialRuns,
    seed: int,
    progress: Callable[[str, int], None],
) -> list[ICLRun]:
    """
    Runs the jobs, except those that `partial` has, and keeps each as soon as it is finished. Of jobs that show the
    same demonstrations in the same order, such as sets of a selection that draws nothing, one is run.

    Args:
        evaluator: The evaluator.
        jobs: The jobs.
        queries: Texts of the queries.
        partial: What is finished so far.
        seed: Seed of the evaluation, for the record.
        progress: Called with the name of the job and the number of queries done.

    Raises:
        UserError: as the evaluator does.
    """
    runs, found = [], {}
    for job in jobs:
        shown = None if job.each else repr(job.demonstrations)
        prediction = partial.load(job.name)
        if prediction is None and shown in found:
            prediction = dataclasses.replace(found[shown], seconds=0.0)
            partial.save(job.name, prediction)
            progress(job.name, len(queries))
        elif prediction is None:
            prediction = job.run(evaluator, queries, lambda done, job=job: progress(job.name, done))
            partial.save(job.name, prediction)
        else:
            progress(job.name, len(queries))
        if shown is not None and not prediction.failed_Q.any():  # what has failed may be answered the next time
            found[shown] = prediction
        runs.append(ICLRun(job.dpc, job.rounds, job.set_id, seed, job.order, prediction))
    return runs


def default_output_dir(task: str, model: str, arguments: ICLEvaluationArguments) -> Path:
    """
    Returns where the results go if nobody says: `runs/<task>/icl_<model>_<demonstrations>...`, with the options that
    usually differ between the evaluations of a series.
    """
    parts = ["icl", Path(model).name, arguments.demonstrations or Path(arguments.distilled).stem]
    if arguments.dpc is not None:
        parts.append("dpc" + "-".join(map(str, arguments.dpc)))
    if arguments.rounds is not None:
        parts.append(f"r{arguments.rounds}")
    if arguments.context_length is not None:
        parts.append(f"c{arguments.context_length}")
    if arguments.instruct:
        parts.append("instruct")
    if arguments.scoring != "likelihood":
        parts.append(arguments.scoring)
    if arguments.chat != "none":
        parts.append(f"chat-{arguments.chat}")
    return Path("runs") / _in_a_path(task) / "_".join(map(_in_a_path, parts))


def _in_a_path(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
