# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Writes the tables of a page from the results of studies, so that no figure is typed.

    python benchmarks/study_tables.py docs/results/study_cpu.md docs/results/study_cpu
    python benchmarks/study_tables.py docs/results/study_cpu.md docs/results/study_cpu --check

The page has places `<!-- table: NAME KIND ... -->`, each ended by `<!-- end -->`; what stands between is replaced.
NAME is that of a file `NAME.json` in the second directory, the `results.json` of a study. KIND is one of

- `accuracy`: methods and rows per class, in context;
- `grid MEASURE`: accuracy in context, raw or calibrated, a column for each number of rows per class;
- `measured`: what was measured on the sets, the values of all numbers of rows per class in one cell;
- `less REFERENCE MEASURE`: in points, each method less REFERENCE, a column for each number of rows per class;
- `pairs METHOD DPC`: METHOD less each of the others with DPC rows per class, in points, a column for each MEASURE;
- `learners`: accuracy of learners that are trained on the sets;
- `transfer`: rank correlations of what is measured on a set with its accuracy in context;
- `matching`: what was measured on fresh texts before and after each matching;
- `costs DPC`: seconds, memory and operations behind the results in context with DPC rows per class;
- `ranks`: mean ranks of the methods, the best first;
- `sizes`: how many sets and queries a difference needs, at least ten of each;
- `tasks METHOD MEASURE`: METHOD less each method that all of several studies have.

For `tasks` and `matching` NAME may be several, `NAME,NAME...`.

MEASURE is `raw`, `calibrated` or `learner:NAME`. With `--check` nothing is written; what would change is named,
and the exit code is 1.
"""

import argparse
import functools
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ddg_hf.cards.text import table as markdown_table
from ddg_hf.errors import UserError
from ddg_hf.study.methods import METHODS, RERANKED, STUDENTS

PLACE = re.compile(
    r"(<!-- table: (?P<name>\S+) (?P<kind>.+?) -->\n)(?P<body>(?:(?!<!-- table:).)*?)(<!-- end -->)", re.DOTALL
)
MEASURED = {
    "gradient_cosine": "gradient cosine",
    "label_consistency": "label confirmed by the probe",
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU",
    "tokens_per_demonstration": "tokens of a demonstration",
}
TASK_TITLES = {
    "sst2": "SST-2",
    "sst2_gentle": "SST-2",
    "ag_news": "AG News",
    "cr": "CR",
    "banking77": "BANKING77",
    "bike_shop": "bike shop",
}
"""How readers call the task of a study."""

Results = Mapping[str, Any]


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table with an empty line before and after it, as a comment beside it needs."""
    return f"\n{markdown_table(head, rows)}\n\n"


def percent(side: Mapping[str, float] | None) -> str:
    """An accuracy in percent with its interval."""
    if side is None:
        return "-"
    if side.get("low") is None:
        return f"{100 * side['mean']:.1f}"
    return f"{100 * side['mean']:.1f} [{100 * side['low']:.1f}, {100 * side['high']:.1f}]"


def signed(side: Mapping[str, float], factor: float, digits: int) -> str:
    """A difference or correlation with its interval and signs."""
    mean, low, high = (round(factor * side[key], digits) + 0.0 for key in ("mean", "low", "high"))  # no -0.0
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def title_of(method: str) -> str:
    """How readers call a method."""
    base = method.removesuffix(RERANKED)
    title = METHODS[base].title if base in METHODS else base.replace("_", " ")
    return f"{title}, chosen by likelihood" if method != base else title


MEASUREMENTS: dict[str, Callable[[Results], str | None]] = {
    "gradient cosine": lambda row: _formatted(row.get("gradient_cosine"), lambda side: f"{side['mean']:.3f}"),
    "label confirmed, %": lambda row: _formatted(row.get("label_consistency"), lambda share: f"{100 * share:.0f}"),
    "copied, %": lambda row: _formatted(row.get("copies"), lambda share: f"{100 * share:.0f}"),
    "nearly, %": lambda row: _formatted(row.get("near_copies"), lambda share: f"{100 * share:.0f}"),
    "tokens": lambda row: _formatted(row.get("tokens_per_demonstration"), lambda number: f"{number:.0f}"),
    "distinct-2": lambda row: _formatted(row.get("distinct_2"), lambda share: f"{share:.2f}"),
    "self-BLEU": lambda row: _formatted(row.get("self_bleu"), lambda share: f"{share:.2f}"),
}
"""What is measured on the sets of a row of results, as readers see it; `None` where it was not."""


def _formatted(value: Any, write: Callable[[Any], str]) -> str | None:
    return None if value is None else write(value)


def accuracy(results: Results) -> str:
    """Methods and rows per class in context."""
    rows = [
        [
            title_of(row["method"]),
            str(row["dpc"] or "-"),
            str(row["num_sets"]),
            percent(row["icl"].get("raw")),
            percent(row["icl"].get("calibrated")),
        ]
        for row in results["rows"]
        if row["icl"]
    ]
    return markdown(["method", "per class", "sets", "raw", "batch-calibrated"], rows)


def numbers_of(results: Results) -> list[int]:
    """The numbers of rows per class that have results."""
    return sorted({row["dpc"] for row in results["rows"] if row["dpc"]})


def by_method(results: Results) -> dict[str, dict[int, Mapping[str, Any]]]:
    """Rows in context by method and rows per class."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in results["rows"]:
        if row["icl"]:
            found.setdefault(row["method"], {})[row["dpc"]] = row
    return found


def grid(results: Results, measure: str) -> str:
    """Accuracy in context, a column for each number of rows per class; zero-shot is the same in all."""
    if measure not in ("raw", "calibrated"):
        raise UserError(f"'{measure}' is not accuracy in context: raw or calibrated")
    rows = []
    for method, found in by_method(results).items():
        cells = [percent(found[dpc]["icl"].get(measure)) if dpc in found else "-" for dpc in numbers_of(results)]
        if 0 in found:
            cells = [percent(found[0]["icl"].get(measure))] * len(cells)
        rows.append([title_of(method), str(max(row["num_sets"] for row in found.values())), *cells])
    return markdown(["method", "sets", *(f"{dpc} per class" for dpc in numbers_of(results))], rows)


def measured(results: Results) -> str:
    """What was measured on the sets, the values of all numbers of rows per class in one cell."""
    numbers, rows = numbers_of(results), []
    for method, found in by_method(results).items():
        columns = [[write(found.get(dpc, {})) for dpc in numbers] for write in MEASUREMENTS.values()]
        if any(cell is not None for cell in columns[0]):
            rows.append([title_of(method), *(" / ".join(cell or "-" for cell in cells) for cells in columns)])
    return markdown([f"with {', '.join(map(str, numbers))} per class", *MEASUREMENTS], rows)


def difference(results: Results, measure: str, dpc: int, first: str, second: str) -> str:
    """`first` less `second` in points, a star where its adjusted p-value is below 0.05; empty if not compared."""
    for entry in results["comparisons"]:
        if entry["measure"] != measure or entry["dpc"] != dpc or {entry["a"], entry["b"]} != {first, second}:
            continue
        side = entry["difference"]
        if entry["a"] != first:
            side = {"mean": -side["mean"], "low": -side["high"], "high": -side["low"]}
        return signed(side, 100, 1) + ("*" if entry["p_holm"] is not None and entry["p_holm"] < 0.05 else "")
    return ""


def check_measure(results: Results, measure: str) -> None:
    """Raises `UserError` if methods are not compared by `measure`."""
    known = sorted({entry["measure"] for entry in results["comparisons"]})
    if measure not in known:
        raise UserError(f"no measure '{measure}' is compared, only {', '.join(known)}")


def less(results: Results, reference: str, measure: str) -> str:
    """Every method less a reference, a column for each number of rows per class."""
    methods = list(dict.fromkeys(row["method"] for row in results["rows"]))
    if reference not in methods:
        raise UserError(f"no method '{reference}' has results, only {', '.join(methods)}")
    check_measure(results, measure)
    numbers = numbers_of(results)
    rows = []
    for method in methods:
        cells = [difference(results, measure, dpc, method, reference) for dpc in numbers]
        if any(cells):
            rows.append([title_of(method), *(cell or "-" for cell in cells)])
    return markdown(["method", *(f"{dpc} per class" for dpc in numbers)], rows)


def pairs(results: Results, method: str, dpc: str) -> str:
    """A method less each of the others with as many rows per class, a column for each measure that is compared."""
    methods = list(dict.fromkeys(row["method"] for row in results["rows"]))
    compared = [entry for entry in results["comparisons"] if str(entry["dpc"]) == dpc]
    measures = list(dict.fromkeys(entry["measure"] for entry in compared))
    rows = []
    for other in methods:
        cells = [difference(results, measure, int(dpc), method, other) for measure in measures]
        if any(cells):
            rows.append([title_of(other), *(cell or "-" for cell in cells)])
    if not rows:
        raise UserError(f"no method '{method}' with {dpc} rows per class is compared with others")
    titles = {"raw": "raw", "calibrated": "batch-calibrated"}
    heads = [titles.get(measure, f"as training data, {measure.removeprefix('learner:')}") for measure in measures]
    return markdown([f"{title_of(method)} less", *heads], rows)


def learners(results: Results) -> str:
    """Accuracy of learners that are trained on the sets."""
    trained = [row for row in results["rows"] if row["learners"]]
    names = list(dict.fromkeys(name for row in trained for name in row["learners"]))
    rows = [
        [title_of(row["method"]), str(row["dpc"]), *(percent(row["learners"].get(name)) for name in names)]
        for row in trained
    ]
    return markdown(["trained on", "per class", *names], rows)


def transfer(results: Results) -> str:
    """Rank correlations of what is measured on a set with its accuracy in context."""
    found: dict[str, dict[str, str]] = {}
    for kind in ("raw", "calibrated"):
        for entry in results["transfer"][kind]:
            cell, adjusted = signed(entry["correlation"], 1, 2), entry["p_holm"]
            cells = found.setdefault(entry["measure"], {"sets": f"{entry['num_sets']} ({entry['num_groups']})"})
            cells[kind] = cell + (f", p (Holm) {adjusted:.3f}" if adjusted is not None and adjusted < 0.1 else "")
    columns = ("sets", "raw", "calibrated")
    rows = [[MEASURED[name], *(cells.get(column, "-") for column in columns)] for name, cells in found.items()]
    return markdown(
        ["measurement of a set", "sets (groups)", "with raw accuracy", "with batch-calibrated accuracy"], rows
    )


def before_and_after(studies: Mapping[str, Results]) -> str:
    """What was measured on fresh texts before and after each matching, a row for each task, student and seed."""

    def change(row: Mapping[str, Any], name: str, digits: int, factor: int = 1) -> str:
        values = [None if row[when] is None else row[when][name] for when in ("before", "after")]
        if values == [None, None]:
            return "-"
        return " to ".join("-" if value is None else f"{factor * value:.{digits}f}" for value in values)

    def level(row: Mapping[str, Any], name: str) -> str:
        return _formatted(row["after"][name], lambda value: f"{value:.3f}") or "-"

    rows = [
        [
            TASK_TITLES.get(study, study),
            f"{STUDENTS[row['student']]}, seed {row['seed']}",
            change(row, "gradient_cosine", 3),
            level(row, "real_gradient_cosine"),
            level(row, "exchanged_gradient_cosine"),
            change(row, "label_consistency", 1, 100),
            change(row, "nll", 2),
            change(row, "malformed_rate", 1, 100),
        ]
        for study, results in studies.items()
        for row in results.get("matching", [])
    ]
    if not rows:
        raise UserError(f"no matching was evaluated in {', '.join(studies)}")
    names = ("cosine", "of real rows", "under other labels", "labels confirmed, %", "held-out NLL", "malformed, %")
    kept = [i for i, column in enumerate(zip(*rows, strict=True)) if any(cell != "-" for cell in column)]
    head = ["task", "matching", *names]
    return markdown([head[i] for i in kept], [[row[i] for i in kept] for row in rows])


def costs(results: Results, dpc: str) -> str:
    """Seconds, memory and operations behind the results in context with `dpc` rows per class, and of zero-shot."""
    columns: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
        "training, s": lambda cost: _formatted(cost["train_seconds"], lambda number: f"{number:,.0f}"),
        "sets, s": lambda cost: _formatted(cost["generate_seconds"], lambda number: f"{number:,.0f}"),
        "in context, s": lambda cost: _formatted(cost["evaluate_seconds"], lambda number: f"{number:,.0f}"),
        "peak memory, GiB": lambda cost: _formatted(cost["peak_memory_mb"], lambda number: f"{number / 1024:.1f}"),
        "10^12 operations": lambda cost: _formatted(cost["flops"], lambda number: f"{number / 1e12:,.1f}"),
    }
    rows = [
        [title_of(row["method"]), *(write(row["cost"]) or "-" for write in columns.values())]
        for row in results["rows"]
        if row["icl"] and str(row["dpc"]) in ("0", dpc)
    ]
    return markdown([f"with {dpc} per class", *columns], rows)


def ranks(results: Results) -> str:
    """Mean ranks of the methods among those with as many rows per class, the best batch-calibrated one first."""
    raw = {entry["method"]: entry for entry in results["ranks"]["raw"]}
    rows = [
        [
            title_of(entry["method"]),
            f"{entry['mean_rank']:.1f}",
            f"{raw[entry['method']]['mean_rank']:.1f}",
            str(entry["num_settings"]),
        ]
        for entry in results["ranks"]["calibrated"]
    ]
    return markdown(["mean rank", "batch-calibrated", "raw", "settings ranked"], rows)


def sizes(results: Results) -> str:
    """How many sets and queries a difference needs."""
    rows = []
    for kind, name in (("raw", "raw"), ("calibrated", "batch-calibrated")):
        for entry in results["power"][kind]:
            more_sets = entry["sets_with_these_queries"]
            more_queries = entry["queries_with_these_sets"]
            rows.append(
                [
                    name,
                    str(entry["dpc"]),
                    str(entry["points"]),
                    f"{entry['num_sets']:,} sets and {entry['num_queries']:,} queries",
                    "none is enough" if more_sets is None else f"{more_sets:,} sets",
                    "none is enough" if more_queries is None else f"{more_queries:,} queries",
                ]
            )
    asked = f"with these {results['num_queries']} queries"
    return markdown(["accuracy", "per class", "points", "cheapest", asked, "with as many sets as here"], rows)


def tasks(studies: Mapping[str, Results], method: str, measure: str) -> str:
    """A method less each of the others that all studies have, a row for each study and number of rows per class."""
    found = [dict.fromkeys(row["method"] for row in results["rows"] if row["dpc"]) for results in studies.values()]
    for (name, results), names in zip(studies.items(), found, strict=True):
        check_measure(results, measure)
        if method not in names:
            raise UserError(f"no method '{method}' has results in {name}, only {', '.join(names)}")
    others = [name for name in found[0] if name != method and all(name in names for names in found)]
    rows = []
    for name, results in studies.items():
        numbers = sorted({row["dpc"] for row in results["rows"] if row["method"] == method and row["dpc"]})
        for dpc in numbers:
            cells = [difference(results, measure, dpc, method, other) or "-" for other in others]
            rows.append([TASK_TITLES.get(name, name), str(dpc), *cells])
    return markdown(["task", "per class", *(f"less {title_of(other)}" for other in others)], rows)


KINDS: dict[str, tuple[Callable[..., str], int]] = {
    "accuracy": (accuracy, 0),
    "grid": (grid, 1),
    "measured": (measured, 0),
    "less": (less, 2),
    "pairs": (pairs, 2),
    "learners": (learners, 0),
    "transfer": (transfer, 0),
    "matching": (before_and_after, 0),
    "costs": (costs, 1),
    "ranks": (ranks, 0),
    "sizes": (sizes, 0),
    "tasks": (tasks, 2),
}
"""What makes each kind of table, and how many words follow its name."""
OF_SEVERAL = (tasks, before_and_after)


def written(page: str, directory: Path) -> str:
    """The page with its tables as the results in `directory` say."""

    @functools.cache
    def load(name: str) -> Results:
        path = directory / f"{name}.json"
        if not path.is_file():
            raise UserError(f"'{path}' is missing: copy the results.json of that study to it")
        return json.loads(path.read_text(encoding="utf-8"))

    if page.count("<!-- table:") != len(PLACE.findall(page)):
        raise UserError("a place '<!-- table: NAME KIND -->' has no '<!-- end -->' before the next one")

    def table(match: re.Match) -> str:
        name, (kind, *arguments) = match["name"], match["kind"].split()
        make, number = KINDS.get(kind, (None, 0))
        if make is None or len(arguments) != number:
            known = ", ".join(KINDS)
            raise UserError(f"'{match[1].strip()}': no such table; there are {known}, with the words that --help says")
        studies = {study: load(study) for study in name.split(",")}
        if make not in OF_SEVERAL and len(studies) > 1:
            raise UserError(f"'{match[1].strip()}': only 'tasks' and 'matching' take several studies")
        return match[1] + make(studies if make in OF_SEVERAL else studies[name], *arguments) + match[5]

    return PLACE.sub(table, page)


def main() -> int:
    """Writes, or checks, the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = options.page.read_text(encoding="utf-8")
    try:
        new = written(page, options.results)
    except UserError as error:
        parser.error(str(error))
    if options.check:
        for old, now in zip(PLACE.finditer(page), PLACE.finditer(new), strict=True):
            if old["body"] != now["body"]:
                print(f"'{options.page}' has another table {old['name']} {old['kind']}", file=sys.stderr)
        return int(new != page)
    options.page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
