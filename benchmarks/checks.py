# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What the checks of `ddg-hf check` find in real rows, where there should be little to find, and what they cost.

    python benchmarks/checks.py --data_dir data --tasks sst2 ag_news > docs/results/checks.json

For each task: the share of training rows that a check of single rows reports (`reported`), of training rows cut after
a random word of their second half that are reported as truncated (`cut_rows_reported`), of validation rows that are a
copy or near copy of a training row (`validation_in_train`), how many of 20 draws of five real rows per class are
reported by the checks of diversity and length (`draws_reported`), and for training rows of which some words were
replaced, by the Jaccard similarity to the original, the share whose original is found (`recall`). `cost` is of the
comparison of 20 sets of five rows per class, drawn from validation, with all training rows. Prints one JSON object.
"""

import argparse
import random
import time
from collections import Counter, defaultdict

from report import print_result

from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.tasks import TaskSpec
from ddg_hf.provenance import peak_memory_mb
from ddg_hf.quality import broken_texts
from ddg_hf.quality.copies import find_copies
from ddg_hf.quality.findings import OK, Texts
from ddg_hf.quality.near_copies import find_near_copies, nearest_by_jaccard, shingles
from ddg_hf.quality.personal_data import KINDS, personal_data
from ddg_hf.quality.sets import check_duplicates
from ddg_hf.quality.variety import check_diversity, check_lengths

NUM_SETS, PER_CLASS = 20, 5
ALTERED_ROWS = 2000


def reported(rows: list[Texts], labels: list[int]) -> dict[str, float]:
    """Share of the rows that each check reports."""
    truncated = Counter(finding.details["kind"] for finding in broken_texts.find_truncated(rows))
    kinds = Counter(kind for row in rows for kind in set().union(*map(personal_data, row)))
    counts = {
        "empty": len(broken_texts.find_empty(rows)),
        "truncated": truncated.total(),
        **{f"truncated_{kind}": truncated[kind] for kind in ("mark", "word", "bracket")},
        "control_tokens": len(broken_texts.find_control_tokens(rows)),
        **{kind: kinds[kind] for kind in KINDS},
        "duplicates": check_duplicates(rows, labels, [0] * len(rows)).found,
    }
    return {name: count / len(rows) for name, count in counts.items()}


def cut_rows_reported(rows: list[Texts]) -> float:
    """Share of rows that are reported after their last column was cut."""
    rng = random.Random(0)
    cut = []
    for row in rows:
        words = row[-1].split()
        if len(words) >= 6:
            cut.append((" ".join(words[: rng.randrange(len(words) // 2, len(words) - 1)]),))
    return len(broken_texts.find_truncated(cut)) / len(cut)


def recall(rows: list[Texts]) -> dict[str, dict[str, float]]:
    """By Jaccard similarity, how many altered rows there are and the share whose original is the nearest found."""
    rng = random.Random(0)
    originals = rng.sample([row for row in rows if len(row[0].split()) >= 8], ALTERED_ROWS)
    altered = []
    for row in originals:
        words = row[0].split()
        for place in rng.sample(range(len(words)), rng.randint(1, len(words) // 4)):
            words[place] = rng.choice(rng.choice(originals)[0].split())
        altered.append((" ".join(words), *row[1:]))
    total, found = Counter(), Counter()
    for row, original, nearest in zip(altered, originals, nearest_by_jaccard(altered, originals), strict=True):
        own, other = shingles(row), shingles(original)
        similarity = len(own & other) / len(own | other)
        bucket = f"{int(10 * similarity) / 10:.1f}"
        total[bucket] += 1
        found[bucket] += nearest.similarity >= similarity
    return {bucket: {"rows": total[bucket], "share": found[bucket] / total[bucket]} for bucket in sorted(total)}


def draw(rows: list[Texts], labels: list[int], num_labels: int) -> tuple[list[Texts], list[int], list[int]]:
    """Draws sets of five rows per class; returns texts, labels and numbers of the sets."""
    rng = random.Random(0)
    members = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        members[label].append(row)
    drawn = [
        (row, label, number)
        for number in range(NUM_SETS)
        for label in range(num_labels)
        for row in rng.sample(members[label], min(PER_CLASS, len(members[label])))
    ]
    return tuple(map(list, zip(*drawn, strict=True)))


def measure(spec: TaskSpec, dataset) -> dict:
    rows, labels = rows_and_labels(dataset["train"], spec)
    validation, validation_labels = rows_and_labels(dataset["validation"], spec)
    real = {"train": rows}
    copies = find_copies(validation, real)
    near = find_near_copies(validation, real, copies)
    kinds = Counter(finding.details["kind"] for finding in copies)
    shares = {kind: kinds[kind] / len(validation) for kind in ("exact", "normalised", "column")}
    sets = draw(validation, validation_labels, spec.num_labels)
    start = time.process_time()
    find_near_copies(sets[0], real, find_copies(sets[0], real))
    seconds = time.process_time() - start
    outcomes = {"diversity": [], "lengths": []}
    for number in range(NUM_SETS):
        one = [entry for entry in zip(*sets, strict=True) if entry[2] == number]
        texts, of, numbers = map(list, zip(*one, strict=True))
        outcomes["diversity"].append(check_diversity(texts, numbers, rows).status)
        outcomes["lengths"].append(check_lengths(texts, of, numbers, spec.label_names, rows).status)
    return {
        "training_rows": len(rows),
        "reported": reported(rows, labels),
        "cut_rows_reported": cut_rows_reported(rows),
        "validation_in_train": shares | {"near_copies": len(near) / len(validation)},
        "draws_reported": {name: sum(status != OK for status in found) for name, found in outcomes.items()},
        "recall": recall(rows),
        "cost": {"rows": len(sets[0]), "cpu_seconds": seconds, "process_peak_memory_mb": peak_memory_mb()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="directory with <task>/{train,validation}.parquet")
    parser.add_argument("--tasks", nargs="+", default=["sst2", "ag_news"])
    arguments = parser.parse_args()
    print_result({task: measure(*load_data(task, arguments.data_dir)) for task in arguments.tasks})


if __name__ == "__main__":
    main()
