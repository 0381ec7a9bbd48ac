# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Measured rows and paired differences from the directories that `evaluate-icl` and `evaluate-learner` wrote."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..evaluation.comparison import (
    PREDICTION_COLUMNS,
    Evaluation,
    Group,
    check_comparable,
    compare_groups,
    load_evaluation,
)
from ..evaluation.results import PREDICTIONS_FILE, PREFIXES
from ..evaluation.significance import holm
from .collect import EVALUATIONS, Contents, Run
from .model import KINDS, Comparison, Method, Results, Row
from .values import estimate, mapping, mappings, model_name, number, text

_SHOWN = ("raw", "calibrated", "contextual")
_REAL = {
    "zero_shot": ("zero-shot", "none"),
    "balanced": ("balanced random", "real"),
    "random": ("random, any label", "real"),
    "k_centers": ("K-centers", "real"),
    "herding": ("herding", "real"),
    "bm25": ("BM25", "retrieved"),
    "topk": ("nearest rows", "retrieved"),
}
_GENERATED = {
    "distill": "DDG",
    "pretrain": "LM-only generator",
}
_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Evaluated:
    """
    The evaluations of one task and split.

    Attributes:
        task: Name of the task.
        split: Name of the split.
        runs: The evaluations.
        shown_split: The split where there are several of the task, otherwise empty.
    """

    task: str
    split: str
    runs: list[Run]
    shown_split: str

    @property
    def models(self) -> set[str]:
        """The language models that were shown demonstrations."""
        return {model_name(run.results["model"]) for run in self.runs if "model" in run.results}

    def measure(self, run: Run, kind: str) -> str:
        """A kind of answers of an evaluation in context as a measure, with the language model if there are several."""
        return f"{kind}@{model_name(run.results.get('model'))}" if len(self.models) > 1 else kind


def evaluated(contents: Contents) -> list[Evaluated]:
    """
    Returns the evaluations in a directory by task and split.

    Raises:
        UserError: a file cannot be read.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in contents.of_stages(*EVALUATIONS):
        key = (text(run.results.get("task"), "?"), text(run.results.get("split"), "?"))
        groups.setdefault(key, []).append(run)
    splits = Counter(task for task, _ in groups)
    return [Evaluated(task, split, runs, split if splits[task] > 1 else "") for (task, split), runs in groups.items()]


def results_of(contents: Contents) -> list[Results]:
    """
    Returns what the evaluations in a directory measured, by task and split.

    Raises:
        UserError: a file cannot be read, or is not what an evaluation writes.
    """
    return [_results_of(contents, group) for group in evaluated(contents)]


def method_of(contents: Contents, run: Run) -> Method:
    """Returns whose demonstrations an evaluation used, or what a directory of distilled sets was made by."""
    if contents.study is not None:
        cell = contents.study.cell(run.name)
        if cell is not None and cell.method is not None:
            found = (method for method in contents.study.methods if method.name == cell.method)
            return next(found, Method(cell.method, cell.method))
    if run.has_sets:
        return _of_sets(contents, run)
    used = text(run.results.get("demonstrations")) or text(run.results.get("training_rows"))
    if used in _REAL and not run.results.get("distilled_sets"):
        title, kind = _REAL[used]
        return Method(used, title, kind)
    source = _evaluated_sets(contents, run, used)
    if source is not None:
        return _of_sets(contents, source)
    # One name for several directories would be one method of what may be several.
    name = PureWindowsPath(used).name
    name = run.name if not name or _is_shared(contents, name) else name
    return Method(name, name, "generated")


def _evaluated_sets(contents: Contents, run: Run, used: str) -> Run | None:
    """
    The directory whose sets an evaluation used: the one with these very rows, or, of several or none, the one whose
    path ends like the path that was given then. None if that leaves several.
    """
    recorded = mapping(run.results.get("distilled_sets"))
    same = [other for other in contents.with_sets if _has_sets(other, recorded)]
    common = {other.name: _common_parts(other, used) for other in same or contents.with_sets}
    most = max(common.values(), default=0)
    nearest = [other for other in same or contents.with_sets if common[other.name] == most]
    return nearest[0] if len(nearest) == 1 and (same or most) else None


def _has_sets(run: Run, recorded: Mapping[str, Any]) -> bool:
    """Whether a directory has the sets whose fingerprints an evaluation recorded."""
    return bool(recorded) and all(
        mapping(numbers).items() <= run.set_fingerprints.get(config, {}).items()
        for config, numbers in recorded.items()
    )


def _common_parts(run: Run, used: str) -> int:
    """How many parts the ends of two paths have in common."""
    pairs = zip(reversed(run.path.resolve().parts), reversed(PureWindowsPath(used).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _is_shared(contents: Contents, name: str) -> bool:
    """Whether several directories of sets have a name."""
    return sum(other.path.resolve().name == name for other in contents.with_sets) > 1


def distilled(contents: Contents) -> list[Run]:
    """
    The directories of sets that are not training rows themselves. Those that a study chooses its sets from are none.
    """
    found = [run for run in contents.with_sets if method_of(contents, run).kind != "real"]
    return [run for run in found if contents.study is None or not run.name.startswith("candidates/")]


def _of_sets(contents: Contents, run: Run) -> Method:
    """
    The method of a directory of sets: which training rows were chosen, or the stage that trained the generator, where
    that is unique.
    """

    def stage(other: Run) -> str:
        return text(mapping(other.metadata.get("generator_run")).get("stage"))

    name = run.path.resolve().name
    name = run.name if _is_shared(contents, name) else name
    if run.stage == "select":
        chosen = _chosen(run)
        title, kind = _REAL.get(chosen, (chosen.replace("_", " "), "real"))
        alike = [other for other in contents.with_sets if other.stage == "select" and _chosen(other) == chosen]
        return Method(name, title if len(alike) == 1 else f"{title} ({run.name})", kind)
    if stage(run) not in _GENERATED:
        return Method(name, name, "generated")
    title = _GENERATED[stage(run)]
    alike = [other for other in contents.with_sets if stage(other) == stage(run) and other.stage != "select"]
    return Method(name, title if len(alike) == 1 else f"{title} ({run.name})", "generated")


def _chosen(run: Run) -> str:
    """Which training rows a run of `select` chose."""
    return text(run.arguments.get("demonstrations"), run.path.resolve().name)


def with_rounds(method: Method, dpc: int, rounds: Any) -> Method:
    """Returns the method of prompts with so many rounds: another one, unless they show whole sets."""
    if number(rounds) in (None, dpc):
        return method
    return Method(f"{method.name}, {rounds} rounds", f"{method.title}, {rounds} rounds", kind=method.kind)


def _results_of(contents: Contents, group: Evaluated) -> Results:
    methods: dict[str, Method] = {}
    rows: dict[tuple[str, int], Row] = {}
    members: dict[str, dict[tuple[str, int], tuple[Run, tuple[int, int]]]] = {}
    for run in group.runs:
        found, keys = method_of(contents, run), _measures(group, run)
        for entry in mappings(run.results.get("aggregates")):
            dpc, rounds = _int(entry.get("dpc")), _int(entry.get("rounds"))
            accuracies = {name: value for name, key in keys.items() if (value := estimate(entry.get(key))) is not None}
            if dpc is None or not accuracies:
                continue
            method = with_rounds(found, dpc, rounds)
            # An evaluation of the same measure again: both are shown, under the names of their directories.
            if accuracies.keys() & rows.get((method.name, dpc), Row("", 0)).accuracies.keys():
                method = Method(f"{method.name} ({run.name})", f"{method.title} ({run.name})", kind=method.kind)
            methods.setdefault(method.name, method)
            row = rows.setdefault((method.name, dpc), Row(method.name, dpc))
            row.accuracies.update(accuracies)
            row.spreads.update(_spreads(run, entry, keys))
            rows[method.name, dpc] = _with_sets(row, _int(entry.get("num_sets")))
            for measure in accuracies:
                members.setdefault(measure, {})[method.name, dpc] = (run, (dpc, dpc if rounds is None else rounds))
    ordered = sorted(methods.values(), key=_order)
    position = {method.name: i for i, method in enumerate(ordered)}
    return Results(
        task=group.task,
        split=group.shown_split,
        facts=_facts(group),
        methods=ordered,
        rows=sorted(rows.values(), key=lambda row: (row.dpc, position[row.method])),
        comparisons=_comparisons(ordered, members),
    )


def _facts(group: Evaluated) -> dict[str, str]:
    queries = {
        n for run in group.runs for e in mappings(run.results.get("aggregates")) if (n := _int(e.get("num_queries")))
    }
    learners = {model_name(run.results["learner"]) for run in group.runs if "learner" in run.results}
    facts = {"learner": ", ".join(sorted(learners)), "language model": ", ".join(sorted(group.models))}
    facts |= {"split": group.split, "queries": ", ".join(str(n) for n in sorted(queries))}
    return {name: value for name, value in facts.items() if value}


def _with_sets(row: Row, num_sets: int | None) -> Row:
    """A row of which something was measured on so many sets."""
    counts = {n for n in (row.fewest_sets, row.num_sets, num_sets) if n is not None}
    fewest = min(counts) if len(counts) > 1 else None
    return replace(row, num_sets=max(counts, default=None), fewest_sets=fewest)


def _order(method: Method) -> tuple[int, bool]:
    """Real rows before generated ones, and what was distilled last."""
    return KINDS.index(method.kind) if method.kind in KINDS else len(KINDS), method.title.startswith("DDG")


def _int(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _measures(group: Evaluated, run: Run) -> dict[str, str]:
    """Measures of an evaluation, and the entry of an aggregate that has each."""
    if run.stage == "evaluate-learner":
        return {learner_measure(run): "accuracy"}
    return {group.measure(run, kind): f"{PREFIXES[kind]}accuracy" for kind in _SHOWN}


def learner_measure(run: Run) -> str:
    """Returns the measure of an evaluation as training data."""
    return f"learner:{model_name(run.results.get('learner'))}"


def _spreads(run: Run, entry: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, float]:
    """Standard deviations over the sets, by measure; none of a single set."""
    if run.stage == "evaluate-learner" or _int(entry.get("num_sets")) == 1:
        return {}
    found = {name: number(mapping(entry.get(key)).get("sd")) for name, key in keys.items()}
    return {name: value for name, value in found.items() if value is not None}


def _comparisons(methods: Sequence[Method], members) -> list[Comparison]:
    """
    Paired differences of each generated method from each other method with as many demonstrations (and from none at
    all), where the predictions are there. Holm's correction is for all comparisons of a measure.
    """
    generated = [method.name for method in reversed(methods) if method.kind == "generated"]
    found = []
    for measure, places in members.items():
        cache: dict[str, Evaluation | None] = {}
        family = []
        for a in generated:
            for (name, dpc), (run, key) in places.items():
                if name != a:
                    continue
                for (b, other_dpc), (other, other_key) in places.items():
                    later = b in generated and generated.index(b) <= generated.index(a)
                    if b == a or later or other_dpc not in (0, dpc):
                        continue
                    comparison = _compare(measure, dpc, (a, run, key), (b, other, other_key), cache)
                    if comparison is not None:
                        family.append(comparison)
        adjusted = holm([one.p_value for one in family]) if family else []
        for one, p in zip(family, adjusted, strict=True):
            found.append(Comparison(one.measure, one.dpc, one.a, one.b, one.difference, one.p_value, p))
    return found


def _compare(measure: str, dpc: int, first, second, cache: dict[str, Evaluation | None]) -> Comparison | None:
    """
    The paired difference of two evaluations, or None if one has no predictions of this kind, or the queries differ.

    Raises:
        UserError: predictions are damaged, or queries failed.
    """
    kind = "raw" if measure.startswith("learner:") else measure.partition("@")[0]
    for _, run, _ in (first, second):
        if run.name not in cache:
            cache[run.name] = load_evaluation(str(run.path), kind) if _has_predictions(run, kind) else None
    a, b = cache[first[1].name], cache[second[1].name]
    if a is None or b is None:
        return None
    groups = [_group(evaluation, key) for evaluation, key in ((a, first[2]), (b, second[2]))]
    try:
        check_comparable(a, b)
        result = compare_groups(*groups, _PERMUTATIONS)
    except UserError:
        return None  # other queries: there is nothing to pair
    return Comparison(measure, dpc, first[0], second[0], estimate(result["difference"]), result["p_value"])


def _has_predictions(run: Run, kind: str) -> bool:
    """Whether there are predictions of a kind. Raises `UserError` if they cannot be read."""
    file, column = run.path / PREDICTIONS_FILE, PREDICTION_COLUMNS[kind]
    if not file.is_file():
        return False
    try:
        there = column in pq.read_schema(file).names
        return there and pq.read_table(file, columns=[column])[column].null_count == 0
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read '{file}': {reason}; run the evaluation again") from error


def _group(evaluation: Evaluation, key: tuple[int, int]) -> Group:
    if key not in evaluation.groups:
        raise UserError(
            f"'{evaluation.name}' has no predictions of {key[0]} demonstrations per class and {key[1]} rounds, which "
            "its results.json has; run the evaluation again"
        )
    return evaluation.groups[key]
