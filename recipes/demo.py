# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Run the whole pipeline on the embedded data set and compare the methods.

    ddg-hf demo --output_dir runs/demo

Pretrains a small generator on synthetic customer messages, distils it by gradient matching, generates sets, and
measures them beside real rows: as training data for a classifier, and as demonstrations of a language model. Ends with
a table, and with a page (`report.html`) if matplotlib is installed.

The learner is all-MiniLM-L6-v2 and the language model Gemma 3 270M, which `ddg-hf models` prepares on machines without
the Hub; `--learner` and `--model` take any other id or directory.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ddg_hf.configs import RecipeParser, RunArguments
from ddg_hf.provenance import METADATA_FILE, check_output_dir, run_metadata, write_json
from ddg_hf.terminal import result, say, table

METHODS = ("zero-shot", "balanced random", "K-centers", "LM-only generator", "DDG")


@dataclass
class DemoArguments:
    """
    Sizes of the demonstration; the defaults take a few minutes on two CPU cores.

    Parameters:
        learner (`str`, *optional*): Id or directory of the learner; all-MiniLM-L6-v2 by default.
        model (`str`, *optional*): Id or directory of the ICL model; Gemma 3 270M by default.
        dtype (`str`, *optional*, defaults to `"bfloat16"`): Type of the ICL model's weights.
        dpc (`int`, *optional*, defaults to `2`): Rows per class of a set.
        num_sets (`int`, *optional*, defaults to `3`): Sets per method.
        test_number (`int`, *optional*, defaults to `200`): Queries.
        pretrain_steps (`int`, *optional*, defaults to `1000`): Updates of the generator in pretraining.
        distill_steps (`int`, *optional*, defaults to `12`): Updates of the generator in distillation.
        train_steps (`int`, *optional*, defaults to `20`): Updates of a classifier in the learner evaluation.
    """

    learner: str | None = field(default=None, metadata={"help": "Learner (default: all-MiniLM-L6-v2, prepared)."})
    model: str | None = field(
        default=None, metadata={"help": "ICL model (default: Gemma 3 270M, prepared).", "aliases": ["-m"]}
    )
    dtype: str = field(default="bfloat16", metadata={"help": "Type of the ICL model's weights."})
    dpc: int = field(default=2, metadata={"help": "Rows per class of a set."})
    num_sets: int = field(default=3, metadata={"help": "Sets per method."})
    test_number: int = field(default=200, metadata={"help": "Queries."})
    pretrain_steps: int = field(default=1000, metadata={"help": "Updates of the generator in pretraining."})
    distill_steps: int = field(default=12, metadata={"help": "Updates of the generator in distillation."})
    train_steps: int = field(default=20, metadata={"help": "Updates of a classifier in the learner evaluation."})


class Stages:
    """Runs stages one after the other, says which, and remembers the seconds."""

    def __init__(self, total: int):
        self.total, self.seconds = total, {}

    def run(self, name: str, what: Callable[[], int | None]) -> None:
        say()
        say(f"[{len(self.seconds) + 1}/{self.total}] {name}")
        start = time.time()
        what()
        self.seconds[name] = round(time.time() - start, 1)


def _aggregate(directory: Path) -> dict:
    return json.loads((directory / "results.json").read_text(encoding="utf-8"))["aggregates"][0]


def _summary_row(method: str, learner: Path | None, icl: Path) -> dict:
    """One row of `summary.json` from the results of the evaluations."""
    row: dict = {"method": method, "learner_accuracy": None, "learner_interval": None}
    entries = {"icl": _aggregate(icl)["accuracy"], "icl_calibrated": _aggregate(icl)["calibrated_accuracy"]}
    if learner is not None:
        entries["learner"] = _aggregate(learner)["accuracy"]
    for name, entry in entries.items():
        row[f"{name}_accuracy"] = entry["mean"]
        row[f"{name}_interval"] = [entry["low"], entry["high"]]
    return row


def print_summary(summary: dict, output_dir: Path) -> None:
    """Prints the table, the times, some texts, and where everything is."""

    def percent(row: dict, name: str) -> str:
        if row[f"{name}_accuracy"] is None:
            return "-"
        low, high = row[f"{name}_interval"]
        return f"{100 * row[f'{name}_accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    title = (
        f"toy: accuracy in % with 95 % interval; {summary['num_sets']} sets of {summary['dpc']} per class, "
        f"{summary['num_queries']} queries"
    )
    kinds = ("learner", "icl", "icl_calibrated")
    rows = [[row["method"], *(percent(row, name) for name in kinds)] for row in summary["rows"]]
    table(("method", "learner", "ICL raw", "ICL batch-calibrated"), rows, title)
    times = [[name, f"{seconds:.0f}"] for name, seconds in summary["seconds"].items()]
    table(("stage", "seconds"), times)
    for label, texts in summary["generated_texts"].items():
        say(f"{label}:")
        for text in texts:
            say(f"  - {text}")
    say()
    say(f"distilled sets: {output_dir / 'distilled'}  (datasets.load_dataset(..., 'dpc_{summary['dpc']}'))")
    say(f"generators:     {output_dir / 'pretrain'}, {output_dir / 'distill'}")
    say(f"summary:        {output_dir / 'summary.json'}")


def _generated_texts(directory: Path, dpc: int, number: int = 5) -> dict[str, list[str]]:
    """The first texts of every label of a distilled dataset, as they come."""
    import pyarrow.parquet as pq
    from datasets import Dataset

    rows = Dataset(pq.read_table(directory / f"dpc_{dpc}" / "train.parquet"))
    names = rows.features["label"].names
    texts: dict[str, list[str]] = {name: [] for name in names}
    for row in rows:
        texts[names[row["label"]]].append(row["text"])
    return {name: found[:number] for name, found in texts.items()}


def _write_report(output_dir: Path) -> None:
    """Writes `report.html`; what stands in its way is said in one line, since the work is done."""
    from ddg_hf.errors import UserError
    from ddg_hf.report import make_report

    try:
        say(f"report:         {make_report(output_dir, output_dir / 'report.html', overwrite=True)}")
    except UserError as error:
        say(f"no report: {error}")


@dataclass(frozen=True)
class _Demo:
    """What all stages of a demo need."""

    arguments: DemoArguments
    learner: str
    model: str
    output_dir: Path
    seed: int
    stages: Stages

    def at(self, name: str, *options: str) -> list[str]:
        """Options of a stage that writes to a directory of this name."""
        return [*options, "--output_dir", str(self.output_dir / name), "--overwrite", "--seed", str(self.seed)]

    @property
    def sizes(self) -> list[str]:
        """How many sets of how many rows there are."""
        return ["--dpc", str(self.arguments.dpc), "--num_sets", str(self.arguments.num_sets)]


def _make_sets(demo: _Demo) -> None:
    """Trains both generators, and samples a directory of sets from each."""
    from ddg_hf.recipes import distill, generate, pretrain

    learner, arguments = ["--task", "toy", "--learner", demo.learner], demo.arguments
    train = [*learner, "--save_strategy", "no", "--probe_samples", "24"]
    demo.stages.run(
        "pretrain",
        lambda: pretrain.main(
            demo.at("pretrain", *train, "--generator_config", "tiny", "--max_steps", str(arguments.pretrain_steps))
            + ["--learning_rate", "3e-3", "--per_device_train_batch_size", "32", "--logging_steps", "100"]
        ),
    )
    demo.stages.run(
        "distill",
        lambda: distill.main(
            demo.at("distill", *train, "--generator", str(demo.output_dir / "pretrain"))
            + ["--max_steps", str(arguments.distill_steps), "--learning_rate", "5e-4", "--logging_steps", "4"]
            + ["--inner_steps", "4", "--learner_batch_size", "16", "--generate_interval", "3"]
            + ["--synthetic_per_class", "12", "--pool_per_class", "48", "--real_per_class", "16"]
            + ["--teacher_sets", "3", "--eval_snapshots", "2"]
            # A slower student would still be its fresh head, which sees no labels.
            + ["--learner_steps", "5", "--learner_learning_rate", "5e-4", "--ema_decay", "0.5"]
        ),
    )
    for name, source in (("lm_only", "pretrain"), ("distilled", "distill")):
        demo.stages.run(
            f"generate {name}",
            lambda name=name, source=source: generate.main(
                demo.at(name, *learner, *demo.sizes, "--generator", str(demo.output_dir / source))
                + ["--over_sample_ratio", "10"]
            ),
        )


def _measure(demo: _Demo) -> list[dict]:
    """Evaluates every method as training data and in context. Returns the rows of `summary.json`."""
    from ddg_hf.recipes import evaluate_icl, evaluate_learner

    demonstrations = {
        "zero-shot": ["--demonstrations", "zero_shot"],
        "balanced random": ["--demonstrations", "balanced", *demo.sizes],
        "K-centers": ["--demonstrations", "k_centers", *demo.sizes],
        "LM-only generator": ["--distilled", str(demo.output_dir / "lm_only"), *demo.sizes],
        "DDG": ["--distilled", str(demo.output_dir / "distilled"), *demo.sizes],
    }
    arguments, rows = demo.arguments, []
    common = ["--task", "toy", "--learner", demo.learner, "--test_number", str(arguments.test_number)]
    for method in METHODS:
        folder = method.lower().replace(" ", "_").replace("-", "_")
        options = [*common, *demonstrations[method]]
        learner_dir = None
        if method != "zero-shot":
            learner_dir = demo.output_dir / f"learner_{folder}"
            demo.stages.run(
                f"learner on {method}",
                lambda folder=folder, options=options: evaluate_learner.main(
                    demo.at(f"learner_{folder}", *options, "--num_seeds", "1", "--learning_rate", "3e-4")
                    + ["--train_steps", str(arguments.train_steps)]
                ),
            )
        demo.stages.run(
            f"ICL with {method}",
            lambda folder=folder, options=options: evaluate_icl.main(
                demo.at(f"icl_{folder}", *options, "--model", demo.model, "--dtype", arguments.dtype)
            ),
        )
        rows.append(_summary_row(method, learner_dir, demo.output_dir / f"icl_{folder}"))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all stages and writes `summary.json` and `report.html`."""
    arguments, run_args = RecipeParser((DemoArguments, RunArguments), prog="ddg-hf demo").parse(argv)
    output_dir = check_output_dir(run_args.output_dir or "runs/demo", run_args.overwrite, "demo")
    (output_dir / METADATA_FILE).unlink(missing_ok=True)

    from ddg_hf.models.offline import offline_model_path, prepare_offline_models

    missing = [name for name, given in (("minilm", arguments.learner), ("gemma", arguments.model)) if given is None]
    if missing:
        prepare_offline_models(missing, report=say)
    learner = arguments.learner or str(offline_model_path("minilm"))
    model = arguments.model or str(offline_model_path("gemma"))
    demo = _Demo(arguments, learner, model, output_dir, run_args.seed, Stages(total=13))
    _make_sets(demo)
    rows = _measure(demo)
    summary = {
        "task": "toy",
        "dpc": arguments.dpc,
        "num_sets": arguments.num_sets,
        "num_queries": arguments.test_number,
        "rows": rows,
        "seconds": demo.stages.seconds,
        "generated_texts": _generated_texts(output_dir / "distilled", arguments.dpc),
    }
    write_json(output_dir / "summary.json", summary)
    write_json(output_dir / METADATA_FILE, run_metadata("demo", [arguments, run_args], task="toy"))
    print_summary(summary, output_dir)
    _write_report(output_dir)
    result({"command": "demo", "output_dir": str(output_dir), **summary})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
