# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Measured rows and paired differences from the directories that `evaluate-icl` and `evaluate-learner` wrote."""

from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import Any

from ..errors import UserError
from ..evaluation.comparison import Evaluation, Group, check_comparable, compare_groups, load_evaluation
from ..evaluation.results import PREFIXES
from ..evaluation.statistics import holm
from .collect import EVALUATIONS, Contents, Run
from .model import KINDS, Comparison, Method, Results, Row
from .values import estimate, mapping, mappings, model_name, number, text

_SHOWN = ("raw", "calibrated", "contextual")
_REAL = {
    "zero_shot": ("zero-shot", "no demonstrations", "none"),
    "balanced": ("balanced random", "training rows at random, as many of each label", "real"),
    "random": ("random, any label", "training rows at random, whatever their label", "real"),
    "k_centers": ("K-centers", "the most typical training rows of each label", "real"),
    "herding": ("herding", "training rows with the mean embedding of their label", "real"),
    "bm25": ("BM25", "training rows with words of the query", "retrieved"),
    "topk": ("nearest rows", "training rows whose embeddings are nearest to the query", "retrieved"),
}
_GENERATED = {
    "distill": ("DDG", "texts of a generator distilled by gradient matching"),
    "pretrain": ("LM-only generator", "texts of a generator before distillation"),
}
_PERMUTATIONS = 10_000


def results_of(contents: Contents) -> list[Results]:
    """
    Returns what the evaluations in a directory measured, by task and split.

    Raises:
        UserError: a file cannot be read, or is not what an evaluation writes.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in contents.of_stages(*EVALUATIONS):
        key = (text(run.results.get("task"), "?"), text(run.results.get("split"), "?"))
        groups.setdefault(key, []).append(run)
    return [_results_of(contents, task, split, runs) for (task, split), runs in groups.items()]


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
        title, about, kind = _REAL[used]
        return Method(used, title, about, kind)
    name = PureWindowsPath(used).name or run.name
    source = next((other for other in contents.with_sets if other.path.resolve().name == name), None)
    return _of_sets(contents, source) if source is not None else Method(name, name, "distilled sets", "generated")


def distilled(contents: Contents) -> list[Run]:
    """The directories of sets that are not training rows themselves."""
    return [run for run in contents.with_sets if method_of(contents, run).kind != "real"]


def _of_sets(contents: Contents, run: Run) -> Method:
    """
    The method of a directory of sets: which training rows were chosen, or the stage that trained the generator, where
    that is unique.
    """

    def stage(other: Run) -> str:
        return text(mapping(other.metadata.get("generator_run")).get("stage"))

    name = run.path.resolve().name
    if run.stage == "select":
        chosen = text(run.arguments.get("demonstrations"), name)
        title, about, kind = _REAL.get(chosen, (chosen.replace("_", " "), "training rows", "real"))
        return Method(name, title, about, kind)
    if stage(run) not in _GENERATED:
        return Method(name, name, "distilled sets", "generated")
    title, about = _GENERATED[stage(run)]
    alike = [other for other in contents.with_sets if stage(other) == stage(run) and other.stage != "select"]
    return Method(name, title if len(alike) == 1 else f"{title} ({run.name})", about, "generated")


def _results_of(contents: Contents, task: str, split: str, runs: Sequence[Run]) -> Results:
    models = {model_name(run.results["model"]) for run in runs if "model" in run.results}
    methods: dict[str, Method] = {}
    rows: dict[tuple[str, int], Row] = {}
    members: dict[str, dict[tuple[str, int], tuple[Run, tuple[int, int]]]] = {}
    for run in runs:
        found = method_of(contents, run)
        for entry in mappings(run.results.get("aggregates")):
            dpc, rounds = number(entry.get("dpc")), number(entry.get("rounds"))
            accuracies = _accuracies(run, entry, len(models) > 1)
            if dpc is None or not accuracies:
                continue
            dpc, method = int(dpc), found
            if rounds not in (None, dpc):
                method = Method(f"{found.name}, {rounds} rounds", f"{found.title}, {rounds} rounds", kind=found.kind)
            # An evaluation of the same measure again: both are shown, under the names of their directories.
            if accuracies.keys() & rows.get((method.name, dpc), Row("", 0)).accuracies.keys():
                method = Method(f"{method.name} ({run.name})", f"{method.title} ({run.name})", kind=method.kind)
            methods.setdefault(method.name, method)
            row = rows.setdefault((method.name, dpc), Row(method.name, dpc, _int(entry.get("num_sets"))))
            row.accuracies.update(accuracies)
            row.spreads.update(_spreads(run, entry))
            key = (int(dpc), int(rounds if rounds is not None else dpc))
            for measure in accuracies:
                members.setdefault(measure, {})[method.name, dpc] = (run, key)
    ordered = sorted(methods.values(), key=_order)
    position = {method.name: i for i, method in enumerate(ordered)}
    queries = {
        int(n) for run in runs for e in mappings(run.results.get("aggregates")) if (n := _int(e.get("num_queries")))
    }
    learners = {model_name(run.results["learner"]) for run in runs if "learner" in run.results}
    facts = {"learner": ", ".join(sorted(learners)), "language model": ", ".join(sorted(models)), "split": split}
    facts["queries"] = ", ".join(str(n) for n in sorted(queries))
    return Results(
        task=task,
        facts={name: value for name, value in facts.items() if value},
        methods=ordered,
        rows=sorted(rows.values(), key=lambda row: (row.dpc, position[row.method])),
        comparisons=_comparisons(ordered, members),
    )


def _order(method: Method) -> tuple[int, bool]:
    """Real rows before generated ones, and what was distilled last."""
    return KINDS.index(method.kind) if method.kind in KINDS else len(KINDS), method.title.startswith("DDG")


def _int(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _measures(run: Run, several_models: bool) -> dict[str, str]:
    """Measures of an evaluation, and the entry of an aggregate that has each."""
    if run.stage == "evaluate-learner":
        return {f"learner:{model_name(run.results.get('learner'))}": "accuracy"}
    suffix = f"@{model_name(run.results.get('model'))}" if several_models else ""
    return {f"{kind}{suffix}": f"{PREFIXES[kind]}accuracy" for kind in _SHOWN}


def _accuracies(run: Run, entry, several_models: bool) -> dict[str, Any]:
    found = {name: estimate(entry.get(key)) for name, key in _measures(run, several_models).items()}
    return {name: value for name, value in found.items() if value is not None}


def _spreads(run: Run, entry) -> dict[str, float]:
    if run.stage == "evaluate-learner":
        return {}
    found = {kind: number(mapping(entry.get(f"{PREFIXES[kind]}accuracy")).get("sd")) for kind in _SHOWN}
    return {kind: value for kind, value in found.items() if value is not None}


def _comparisons(methods: Sequence[Method], members) -> list[Comparison]:
    """
    Paired differences of each generated method from each other method with as many demonstrations (and from none at
    all), where the predictions are there. Holm's correction is for all comparisons of a measure.
    """
    generated = [method.name for method in reversed(methods) if method.kind == "generated"]
    found = []
    for measure, places in members.items():
        cache: dict[str, Evaluation] = {}
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


def _compare(measure: str, dpc: int, first, second, cache: dict[str, Evaluation]) -> Comparison | None:
    kind = "raw" if measure.startswith("learner:") else measure.partition("@")[0]
    sides: list[Group] = []
    try:
        for _, run, _ in (first, second):
            if run.name not in cache:
                cache[run.name] = load_evaluation(str(run.path), kind)
        check_comparable(cache[first[1].name], cache[second[1].name])
        for _, run, key in (first, second):
            sides.append(cache[run.name].groups[key])
        result = compare_groups(*sides, _PERMUTATIONS)
    except (UserError, KeyError):
        return None  # no predictions, failed queries, or other queries: there is nothing to pair
    return Comparison(measure, dpc, first[0], second[0], estimate(result["difference"]), result["p_value"])
