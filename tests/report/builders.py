# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Made-up studies and runs, as the commands write them."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddg_hf.data.rows import DistilledRow
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.evaluation.learner import LearnerRun, summarise
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import distilled_table
from ddg_hf.quality import run_checks

LABELS = ("negative", "positive")
SPEC = TaskSpec(name="films", text_columns=("text",), label_names=LABELS)
# Whoever reads a report must see these, and no browser may obey them.
HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "![x](https://example.org/x.png) [a link](javascript:alert(1)) **bold**",
    "\" onmouseover=\"document.title='owned'",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; \u2028 \u202e end",
)
METHODS = (
    ("zero_shot", "zero-shot", "none"),
    ("balanced", "balanced random", "real"),
    ("k_centers", "K-centers", "real"),
    ("lm_only", "LM only", "generated"),
    ("ddg", "DDG", "generated"),
)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def interval(mean: float, half: float = 0.03) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def record(path: Path, stage: str, **more: Any) -> None:
    """Writes `metadata.json`."""
    arguments = {"task": "toy", "seed": 42, "output_dir": "/home/somebody/runs/x", "hub_token": "<redacted>"}
    content = {"stage": stage, "task": "films", "created": "2026-11-26T09:00:00+00:00", "arguments": arguments}
    write_json(path / "metadata.json", content | {"ddg_hf_version": "0.1"} | more)


def training_run(path: Path, stage: str = "distill", updates: int = 6) -> Path:
    """A run of `pretrain` or `distill` with a log."""
    log: list[dict[str, Any]] = []
    for i in range(1, updates + 1):
        entry = {"step": 10 * i, "loss": 3.0 / i}
        if stage == "distill":
            entry |= {
                "gradient_cosine": 0.5 + 0.05 * i,
                "synthetic_nll": 2.0 - 0.1 * i,
                "held_out_nll": 2.0 + 0.05 * i,
            }
            entry |= {f"label_gradient_cosine/{name}": 0.5 + 0.04 * i + 0.03 * j for j, name in enumerate(LABELS)}
        log.append(entry)
    cosines = {"gradient_cosine": 0.95, "real_gradient_cosine": 0.97, "exchanged_gradient_cosine": 0.6}
    log.append({"step": 10 * updates, "eval_nll": 0.9} | {f"eval_{key}": value for key, value in cosines.items()})
    write_json(path / "trainer_state.json", {"log_history": log})
    record(path, stage, train_seconds=12.5, process_peak_memory_mb=900.0)
    return path


def sets(
    path: Path, rows: list[tuple[str, int, int]], dpc: int = 2, trained: str = "distill", check: bool = True
) -> Path:
    """A directory of distilled sets of rows (text, label, set), with checks."""
    folder = path / f"dpc_{dpc}"
    folder.mkdir(parents=True)
    table = distilled_table([DistilledRow((t,), y, number, 1.25) for t, y, number in rows], SPEC)
    pq.write_table(table, folder / "train.parquet")
    record(path, "generate", generator_run={"stage": trained})
    if check:
        real = {"train": ([("A fine film, all in all, I must say.",), ("dull .",)], [1, 0])}
        write_json(path / "checks.json", run_checks(open_distilled(path), real))
    return path


def texts(number: int, seed: int = 0) -> list[tuple[str, int, int]]:
    """Rows (text, label, set) of made-up words."""
    draw = random.Random(seed)
    words = "a slow warm bright plain film story cast score end with of and but for us never always again".split()
    return [(f"{' '.join(draw.choices(words, k=12))} {i}", i % 2, i // 20) for i in range(number)]


def learner_run(path: Path, training_rows: str = "balanced", accuracy: float = 0.7, distilled: bool = False) -> Path:
    """A run of `evaluate-learner` on 40 queries, with predictions."""
    references, runs = [i % 2 for i in range(40)], []
    draw = np.random.default_rng(len(training_rows))
    for number in range(3):
        wrong = draw.random(40) > accuracy
        runs.append(LearnerRun(2, number, 0, np.where(wrong, 1 - np.array(references), references)))
    results = summarise(runs, references, SPEC)
    measured = {"dpc_2": {"0": "x"}} if distilled else None
    results |= {
        "learner": "org/small",
        "training_rows": training_rows,
        "distilled_sets": measured,
        "split": "validation",
    }
    write_json(path / "results.json", results)
    columns = {
        "dpc": [2] * 120,
        "set": [run.set_id for run in runs for _ in references],
        "query": [*range(40)] * 3,
        "reference": references * 3,
        "prediction": [int(y) for run in runs for y in run.predictions_Q],
    }
    pq.write_table(pa.table(columns), path / "predictions.parquet")
    record(path, "evaluate-learner")
    return path


def icl_run(
    path: Path, demonstrations: str = "balanced", dpc: int = 2, rounds: int | None = None, **more: Any
) -> Path:
    """A run of `evaluate-icl` with results and no predictions; `more` is content of `results.json`."""
    rounds = dpc if rounds is None else rounds
    aggregate = {
        "dpc": dpc,
        "rounds": rounds,
        "num_sets": 3,
        "num_queries": 40,
        "seconds": 8.0,
        "accuracy": interval(0.6) | {"sd": 0.02},
        "calibrated_accuracy": interval(0.7) | {"sd": 0.01},
        "contextual_accuracy": None,
    }
    confusion = [
        {"dpc": dpc, "rounds": rounds, "prediction": kind, "counts": [[15, 5, 0], [4, 15, 1]]}
        for kind in ("raw", "calibrated")
    ]
    results = {
        "task": "films",
        "label_names": list(LABELS),
        "model": "/models/of/mine/lm-small",
        "split": "validation",
        "demonstrations": demonstrations,
        "distilled_sets": None,
        "aggregates": [aggregate],
        "confusion": confusion,
    }
    write_json(path / "results.json", results | more)
    record(path, "evaluate-icl")
    return path


def study_results(methods=METHODS, dpcs=(5, 10, 20)) -> dict[str, Any]:
    """The content of `results.json` of a study."""
    rows, comparisons = [], []
    for i, (name, _, kind) in enumerate(methods):
        for dpc in (0,) if kind == "none" else dpcs:
            level = 0.6 + 0.03 * i + 0.002 * dpc
            row = {"method": name, "dpc": dpc, "num_sets": 0 if kind == "none" else 30, "num_training_seeds": 3}
            row |= {"icl": {"raw": interval(level), "calibrated": interval(level + 0.05)}, "icl_spread": {"raw": 0.02}}
            row["learners"] = {} if kind == "none" else {"small": interval(level - 0.1, 0.05)}
            if kind == "generated":
                row |= {"gradient_cosine": interval(0.8, 0.02), "distinct_2": 0.9, "self_bleu": 0.1, "copies": 0.0}
                row |= {"near_copies": 0.02, "label_consistency": 0.85, "tokens_per_demonstration": 21.5}
            trained = 1200.0 if kind == "generated" else None
            row["cost"] = {"train_seconds": trained, "generate_seconds": 60.0, "evaluate_seconds": 300.0}
            row["cost"] |= {"peak_memory_mb": 2100.0, "flops": 1.2e15 if trained else None}
            rows.append(row)
    for measure in ("raw", "calibrated", "learner:small"):
        for dpc in dpcs:
            for other in methods[:-1]:
                pair = {"measure": measure, "dpc": dpc, "a": methods[-1][0], "b": other[0]}
                p = {"p_value": 0.01, "p_holm": 0.04} if dpc == dpcs[-1] else {"p_value": 0.2, "p_holm": 0.6}
                difference = interval(0.013, 0.01 if dpc == dpcs[-1] else 0.026)
                comparisons.append(pair | {"difference": difference} | p)
    ranks = [{"method": name, "mean_rank": 5.0 - i, "num_settings": 3} for i, (name, *_) in enumerate(methods)]
    sizes = [(dpc, p) for dpc in (5, 10) for p in (1, 3, 5)]
    pair = {"a": "ddg", "b": "random"}
    power = [pair | {"dpc": n, "points": p, "num_sets": 8 * n // p, "num_queries": 4800 // p} for n, p in sizes]
    low = {"measure": "gradient_cosine", "correlation": interval(0.05, 0.2), "p_value": 0.6, "p_holm": 0.9}
    transfer = [low | {"num_groups": 12, "num_sets": 60}]
    return {
        "version": 1,
        "kind": "study",
        "name": "films",
        "task": "films",
        "label_names": list(LABELS),
        "generator": "org/lm",
        "learner": "org/small",
        "model": "/models/of/mine/lm-small",
        "split": "validation",
        "num_queries": 300,
        "rows": rows,
        "comparisons": comparisons,
        "ranks": {"raw": ranks, "calibrated": ranks},
        "power": {"raw": power, "calibrated": power},
        "transfer": {"raw": transfer, "calibrated": transfer},
        "matching": [matching("ema", 0, 0.7, 0.8), matching("ema", 1, None, 0.9)],
        "missing": ["icl/dpp"],
    }


def matching(student: str, seed: int, before: float | None, after: float) -> dict[str, Any]:
    """What a study says of a distillation whose cosine goes from one number to another."""
    measured = {"gradient_cosine": after, "real_gradient_cosine": 0.97, "exchanged_gradient_cosine": 0.6, "nll": 2.5}
    measured |= {"label_consistency": 0.75, "malformed_rate": 0.0}
    first = None if before is None else measured | {"gradient_cosine": before}
    return {"student": student, "seed": seed, "steps": 60, "before": first, "after": measured}


def study_plan(methods=METHODS) -> dict[str, Any]:
    """The content of `study.json`."""
    cells = [
        {
            "name": f"icl/{name}/seed_0/dpc_5",
            "command": [
                "evaluate-icl",
                "--task",
                "films",
                "--model",
                "/models/of/mine/lm-small",
                "--api_key",
                "sk-abcdefgh",
            ],
            "stage": "evaluate-icl",
            "method": name,
            "seed": 0,
            "state": "done",
            "seconds": 12.0,
        }
        for name, *_ in methods
    ]
    cells += [{"name": f"{stage}/seed_0", "command": [stage], "state": "done"} for stage in ("pretrain", "distill")]
    cells.append({"name": "sets/ddg/seed_0", "command": ["generate"], "method": "ddg", "seed": 0, "state": "done"})
    cells.append({"name": "icl/dpp", "command": ["evaluate-icl"], "method": "dpp", "state": "failed",
                  "error": "cannot read '/home/somebody/data/x.parquet'"})  # fmt: skip
    cells.append({"name": "icl/late", "command": ["evaluate-icl"], "state": "waiting", "estimated_seconds": 90.0})
    titles = [{"name": name, "title": title, "about": "", "kind": kind} for name, title, kind in methods]
    plan = {"version": 1, "name": "films", "task": "films", "label_names": list(LABELS)}
    return plan | {"arguments": {"task": "toy"}, "methods": titles, "cells": cells}


def study(path: Path, rows: list[tuple[str, int, int]] | None = None, methods=METHODS) -> Path:
    """A study with everything: results, cells of all stages, distilled sets."""
    write_json(path / "study.json", study_plan(methods))
    write_json(path / "results.json", study_results(methods))
    for name, *_ in methods:
        icl_run(path / "cells" / "icl" / name / "seed_0" / "dpc_5", name, dpc=5)
    sets(path / "cells" / "sets" / "ddg" / "seed_0", rows or texts(40), dpc=5)
    training_run(path / "cells" / "pretrain" / "seed_0", "pretrain")
    training_run(path / "cells" / "distill" / "seed_0", "distill")
    return path
