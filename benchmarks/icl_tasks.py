# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
In-context accuracy of Gemma 3 270M on the ten tasks: zero-shot, balanced random rows, K-centers, the sets published
with DiLM, and rows retrieved for each query.

    python benchmarks/icl_tasks.py --data_dir data --output_dir runs/icl_cpu > docs/results/icl_cpu.json
    python benchmarks/icl_tasks.py --data_dir data --output_dir runs/icl_cpu --finished markdown

Runs `ddg-hf evaluate-icl` for every row that is not finished, one after the other; stopped at any time, the same
command goes on. 300 queries of the validation split (of cr the test split: its validation split has 177 rows), classes
as equal as possible; three draws of what is drawn at random. The second command runs nothing: it writes the finished
rows as Markdown tables, with the command of each (`--finished json`: as JSON). `--known FILE` takes over the rows of
a JSON file that the first command wrote, on another machine for instance, and does not run their commands again.
`--data_dir` is a directory with a folder for each task, and `dilm_published` with DiLM's sets.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from report import print_result

from ddg_hf.data.tasks import TASKS
from ddg_hf.models.offline import offline_model_path

QUERIES, DRAWS = 300, 3
# The rows of 77 labels are long: five rounds have 10,750 tokens, and each query scores 131 more.
MANY_LABELS = ("banking77",)
DILM, RETRIEVED = ("sst2", "qqp", "mnli"), ("sst2", "ag_news", "banking77")


@dataclass(frozen=True)
class Run:
    """One command: `kind` of demonstrations, with so many rows per class."""

    task: str
    kind: str
    rows: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return "_".join([self.task, self.kind, *map(str, self.rows)])

    def command(self, options, shown: bool = False) -> list[str]:
        """Its command; as `shown` in documents it is without the directories of this machine."""
        gemma, minilm = (
            f"$(ddg-hf models --path {name})" if shown else str(offline_model_path(name))
            for name in ("gemma", "minilm")
        )
        output = Path("runs/icl_cpu" if shown else options.output_dir)
        words = ["ddg-hf", "evaluate-icl", "--task", self.task, "--data_dir", "data" if shown else options.data_dir]
        words += ["--model", gemma, "--test_number", str(QUERIES)]
        if self.task == "cr":
            words += ["--split", "test"]
        words += ["--demonstrations", str(output / f"dilm_{self.task}.jsonl") if self.kind == "dilm" else self.kind]
        if self.rows:
            words += ["--dpc", *map(str, self.rows)]
        if self.kind in ("balanced", "k_centers", "dilm"):
            words += ["--num_sets", str(DRAWS)]
        if self.kind in ("k_centers", "topk"):
            words += ["--learner", minilm]
        return [*words, "--output_dir", str(output / self.name)]

    def shown(self, options) -> str:
        """Its command as it is typed."""
        words = self.command(options, shown=True)
        return " ".join(word if word.startswith("$(") else shlex.quote(word) for word in words)


def runs(tasks) -> list[Run]:
    """The cheap ones first."""
    found = [Run(task, "zero_shot") for task in tasks]
    few = [task for task in tasks if task not in MANY_LABELS]
    many = [task for task in tasks if task in MANY_LABELS]
    found += [Run(task, kind, (1, 5)) for task in few for kind in ("balanced", "k_centers")]
    found += [Run(task, "dilm", (1, 5)) for task in tasks if task in DILM]
    found += [Run(task, kind, (1,)) for task in many for kind in ("balanced", "k_centers")]
    found += [Run(task, kind, (1, 5)) for task in few if task in RETRIEVED for kind in ("bm25", "topk")]
    found += [Run(task, kind, (5,)) for task in many for kind in ("balanced", "k_centers")]
    return found + [Run(task, kind, (1,)) for task in many if task in RETRIEVED for kind in ("bm25", "topk")]


def write_dilm(options, task: str) -> None:
    """Joins the first published sets of five rows per class to one file with set numbers."""
    lines = []
    for number in range(DRAWS):
        file = Path(options.data_dir, "dilm_published", task, "dpc_5", f"dataset_{number}.json")
        lines += [json.dumps(json.loads(line) | {"set": number}) for line in file.read_text().splitlines()]
    Path(options.output_dir, f"dilm_{task}.jsonl").write_text("\n".join(lines) + "\n")


def finished(options, run: Run) -> dict | None:
    """Its `results.json`, or `None`."""
    directory = Path(options.output_dir, run.name)
    if not (directory / "metadata.json").is_file():
        return None
    return json.loads((directory / "results.json").read_text())


def rows_of(options, run: Run) -> list[dict]:
    """A row for each number of demonstrations, none if it is not finished."""
    results, found = finished(options, run), []
    if results is None:
        return []
    for entry in results["aggregates"]:
        shown = [r for r in results["runs"] if (r["dpc"], r["rounds"]) == (entry["dpc"], entry["rounds"])]
        row = {"task": run.task, "demonstrations": run.kind, "rounds": entry["rounds"], "sets": entry["num_sets"]}
        row |= {"queries": entry["num_queries"], "dtype": results["dtype"], "split": results["split"]}
        row["prefix_tokens"] = sum(r["prefix_tokens"] for r in shown) / len(shown)
        for kind in ("", "contextual_", "calibrated_"):
            row[f"{kind}accuracy"] = entry.get(f"{kind}accuracy")
        row |= {name: entry[name] for name in ("num_ties", "seconds", "seconds_per_query")}
        found.append(row | {"command": run.shown(options)})
    return found


def known_rows(file: str) -> dict[str, list[dict]]:
    """The rows of each command in a file that this program wrote."""
    found = defaultdict(list)
    for row in json.loads(Path(file).read_text())["rows"]:
        found[row["command"]].append(row)
    return found


def percent(entry: dict | None) -> str:
    return "-" if entry is None else f"{100 * entry['mean']:.1f} [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def markdown(rows: list[dict]) -> str:
    """A table for each task, and the commands behind them."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        lines += [
            f"### {task}",
            "",
            f"{TASKS[task].num_labels} labels, {mine[0]['queries']} {mine[0]['split']} queries.",
            "",
        ]
        lines += [
            "| demonstrations | rounds | sets | prefix tokens | raw | contextual | batch-calibrated | s a query |"
        ]
        lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
        for row in sorted(mine, key=lambda row: row["rounds"]):
            cells = [row["demonstrations"], row["rounds"], row["sets"], f"{row['prefix_tokens']:,.0f}"]
            cells += [percent(row[f"{kind}accuracy"]) for kind in ("", "contextual_", "calibrated_")]
            lines.append("| " + " | ".join(map(str, [*cells, f"{row['seconds_per_query']:.3f}"])) + " |")
        lines += ["", "```shell", *dict.fromkeys(row["command"] for row in mine), "```", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="directory with the tasks and dilm_published/")
    parser.add_argument("--output_dir", default="runs/icl_cpu")
    parser.add_argument("--tasks", nargs="*", default=[task for task in TASKS if task != "toy"])
    parser.add_argument("--known", help="JSON file of this program with rows that are not run again")
    parser.add_argument("--finished", choices=["json", "markdown"], help="run nothing, write what is finished")
    options = parser.parse_args()
    planned = runs(options.tasks)
    known = known_rows(options.known) if options.known else {}
    for run in planned:
        if options.finished or run.shown(options) in known or finished(options, run) is not None:
            continue
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
        if run.kind == "dilm":
            write_dilm(options, run.task)
        command = [sys.executable, "-m", "ddg_hf.cli", *run.command(options)[1:]]
        print(run.shown(options), file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=sys.stderr)
    done = {run: found for run in planned if (found := rows_of(options, run) or known.get(run.shown(options)))}
    rows = [row for found in done.values() for row in found]
    if options.finished == "markdown":
        print(markdown(rows))
    else:
        print_result({"rows": rows, "not_finished": [run.name for run in planned if run not in done]})


if __name__ == "__main__":
    main()
