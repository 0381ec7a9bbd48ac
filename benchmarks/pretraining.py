# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Seconds of a pretraining step, with and without trimmed vocabulary and length-sorted micro-batches.

    python benchmarks/pretraining.py --data_dir data > docs/results/pretraining_step.json

Both sides take the same rows in turn, in one process, with AdamW and bfloat16 autocast: `plain` is the model with its
full vocabulary, the batch padded to its longest row, and all logits at once; `ours` is what the trainer does. Gemma 3
270M (`ddg-hf models`) on SST-2, or on the embedded data set without `--data_dir`. Prints one JSON object.
"""

import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from report import print_result

from ddg_hf.configs import GeneratorArguments
from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.samplers import length_sorted_batches
from ddg_hf.models.generator import Generator
from ddg_hf.models.nll import IGNORE
from ddg_hf.models.offline import offline_model_path


def plain_loss(generator: Generator, samples) -> None:
    """Backward pass of the mean per-sample loss over full logits of one padded batch."""
    batch = generator.collate(samples)
    labels = batch.pop("nll_labels")[:, 1:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = generator.model(**batch, use_cache=False).logits[:, :-1].float()
    nll = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORE, reduction="none")
    (nll.sum(1) / (labels != IGNORE).sum(1)).mean().backward()


def our_loss(generator: Generator, samples, token_budget: int) -> None:
    """The same with length-sorted micro-batches and the chunked loss."""
    for rows in length_sorted_batches([len(s) for s in samples], token_budget):
        batch = generator.collate([samples[i] for i in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            nll = generator.model(**batch)["nll"]
        (nll.float().sum() / len(samples)).backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/train.parquet; the embedded data set without it")
    parser.add_argument("--generator", help="directory or Hub id (default: Gemma 3 270M as prepared)")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--token_budget", type=int, default=1024)
    options = parser.parse_args()

    spec, data = load_data(task="sst2", data_dir=options.data_dir) if options.data_dir else load_data(task="toy")
    rows, labels = rows_and_labels(data["train"], spec)
    arguments = GeneratorArguments(generator=options.generator or str(offline_model_path("gemma")))
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    generators = {
        "plain": Generator.create(arguments, spec, rows, trim_vocabulary=False),
        "ours": Generator.create(arguments, spec, rows, trim_vocabulary=True),
    }
    optimizers = {name: torch.optim.AdamW(g.model.parameters(), lr=5e-5) for name, g in generators.items()}
    rng = np.random.default_rng(0)
    for _ in range(options.repeats + 1):
        chosen = rng.choice(len(rows), options.batch_size, replace=False)
        for name, generator in generators.items():
            samples = [generator.format.encode(rows[i], labels[i]) for i in chosen]
            start = time.perf_counter()
            if name == "plain":
                plain_loss(generator, samples)
            else:
                our_loss(generator, samples, options.token_budget)
            optimizers[name].step()
            optimizers[name].zero_grad()
            seconds[name].append(time.perf_counter() - start)
    # The first step makes the optimizer's state: left out.
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    print_result(
        {
            "task": spec.name,
            "batch_size": options.batch_size,
            "repeats": options.repeats,
            "vocabulary": {"plain": len(generators["plain"].tokenizer), "ours": len(generators["ours"].vocabulary)},
            "seconds_per_step": medians,
            "ratio": medians["plain"] / medians["ours"],
        }
    )


if __name__ == "__main__":
    main()
