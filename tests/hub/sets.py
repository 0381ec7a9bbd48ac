# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Directories of distilled sets for the tests of publishing."""

import json
from pathlib import Path

from ddg_hf.data.rows import DistilledRow, set_fingerprint
from ddg_hf.data.tasks import get_task
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import write_distilled
from ddg_hf.provenance import run_metadata

SPEC = get_task("toy")


def rows(per_class: int, num_sets: int = 2, text: str = "the kettle is fine") -> list[DistilledRow]:
    """So many rows of every label in every set, all different."""
    return [
        DistilledRow((f"{text}, {label} {number} {i}",), label, number, 1.5 + i)
        for number in range(num_sets)
        for label in range(SPEC.num_labels)
        for i in range(per_class)
    ]


def write_sets(directory: Path, sizes=(1, 2), text: str = "the kettle is fine", **metadata) -> Path:
    """A directory as `ddg-hf generate` writes it."""
    directory.mkdir(parents=True, exist_ok=True)
    record = run_metadata("generate", [], task="toy", sampling={"sampled": 12}, **metadata)
    record["arguments"] = {"generator": "/home/somebody/runs/toy", "hub_token": "hf_abcdefghijkl", "seed": 3}
    write_distilled(directory, {n: rows(n, text=text) for n in sizes}, SPEC, record)
    return directory


def write_results(directory: Path, sets: Path, **changes) -> Path:
    """A directory as `ddg-hf evaluate-icl` writes it of the sets of two rows per class, as far as a card reads it."""
    members = open_distilled(sets).sets("dpc_2")
    fingerprints = {str(k): set_fingerprint((row.texts, row.label) for row in v) for k, v in members.items()}
    value = {"mean": 0.625, "sd": 0.01, "low": 0.5, "high": 0.75}
    entry = {"dpc": 2, "rounds": 2, "num_sets": 2, "num_queries": 40, "accuracy": value, "calibrated_accuracy": value}
    content = {
        "task": "toy",
        "label_names": list(SPEC.label_names),
        "split": "validation",
        "model": "/home/somebody/models/tiny",
        "scoring": "likelihood",
        "demonstrations": "runs/toy",
        "distilled_sets": {"dpc_2": fingerprints},
        "aggregates": [entry],
        **changes,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
