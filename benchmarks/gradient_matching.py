# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Gradient matching against its plain formulation.

    python benchmarks/gradient_matching.py --data_dir data > docs/results/gradient_matching.json

Learner: all-MiniLM-L6-v2 (`ddg-hf models`); generator: GPT-2-small's shape with random weights; SST-2 rows, or the
embedded data set without `--data_dir`; 2 labels, 200 real and 64 synthetic rows per label, 10 inner steps, 20 learner
steps of 64 rows between them, float32. As random weights write no sentences, real ones of the same data set stand in
for the synthetic rows. The two sides take turns in one process:

- plain: [`plain_matching`], every batch padded to its longest row;
- ours: the steps of the trainer, with a fresh learner trajectory and with stored ones.

Ratios are plain over ours, of medians:

- `matching`: both gradients and the coefficients, fresh trajectory;
- `matching_stored`: the learner's updates and the matching, with stored trajectories (loading them included);
- `matching_amortised`: the same with the computation of 20 trajectories spread over 200 outer steps;
- `outer_step`: everything, with stored trajectories: 10 inner steps (the optimizer's included) and a twentieth of a
  regeneration of the pool. Composed of the medians of its parts, as a plain outer step takes a quarter of an hour;
- `generation`: seconds per sample ([`generation`]).

`generator_token_rate_fraction` is the token rate of the trainer's generator phase (one forward, one backward pass)
over that of a bare loop over the same tokens in a rectangle without padding. `memory_ratio_labels` and `step_growth`
come from processes of their own with a smaller generator (4 layers of 256), where a growth would show more: 64
synthetic rows of each label, peak resident memory of the whole process and seconds of a step; `before_mb` is what the
process held before it. Snapshots are read from the operating system's cache, as those of a run that fit into memory
are. Prints one JSON object.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import generation
import numpy as np
import torch
import torch.nn.functional as F
from plain_matching import PlainMatching, generator_update
from report import print_result
from transformers import AutoModelForSequenceClassification

from ddg_hf.configs import LearnerArguments
from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.data.samplers import epoch_batch
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.learner import Learner
from ddg_hf.models.offline import offline_model_path
from ddg_hf.trainer.distillation_config import DistillationConfig
from ddg_hf.trainer.distillation_trainer import DistillationTrainer

INNER_STEPS, LEARNER_STEPS, LEARNER_BATCH = 10, 20, 64
PHASES = ("learner", "match", "generator")


class MeasuredTrainer(DistillationTrainer):
    """The trainer, with real texts in its pool, and with its steps' measurements at hand."""

    noted: dict[str, float]

    def sample_targets(self, num_per_label, *seed_parts, labels=None):
        format, rng, result = self.generator.format, np.random.default_rng(0), {}
        for label in range(format.num_labels) if labels is None else labels:
            rows = [row for row, y in zip(self.train_rows, self.train_labels, strict=True) if y == label]
            chosen = [format.encode(rows[i], label).target for i in rng.permutation(len(rows))]
            chosen = [target for target in chosen if format.decode(target) is not None]
            result[label] = (chosen * (num_per_label // len(chosen) + 1))[:num_per_label]
        return result

    def note(self, **values):
        self.noted = getattr(self, "noted", {}) | values

    def _objective(self, batch, nll_J, mine):
        loss, coefficients = super()._objective(batch, nll_J, mine)
        self.last = (batch, nll_J, loss.item(), coefficients)
        return loss, coefficients

    def measured_step(self, number: int, optimizer) -> float:
        """Update `number`, by hand; returns the seconds. Those of the phases are in `noted`."""
        self.state.global_step, self.noted = number, {}
        start = time.perf_counter()
        self.training_step(self.model, {})
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - start


def load_rows(options, num_labels: int, minimum: int = 0):
    """Task, rows and labels; where the task has other labels, rows are dealt out to `num_labels` of them."""
    spec, data = load_data(task="sst2", data_dir=options.data_dir) if options.data_dir else load_data(task="toy")
    rows, labels = rows_and_labels(data["train"], spec)
    if spec.num_labels != num_labels or minimum:
        rows = rows * -(-minimum * num_labels // len(rows)) if minimum else rows
        labels = [i % num_labels for i in range(len(rows))]
        names = tuple(f"label {i}" for i in range(num_labels))
        spec = dataclasses.replace(spec, label_names=names, label_words=names)
    return spec, rows, labels


def make_trainer(options, spec, rows, labels, generator, directory, **arguments) -> MeasuredTrainer:
    learner_args = LearnerArguments(learner=options.learner or str(offline_model_path("minilm")))
    defaults = {"max_steps": 1000, "disable_tqdm": True, "report_to": "none", "probe_samples": 0}
    args = DistillationConfig(output_dir=str(directory), **(defaults | arguments))
    learner = Learner.load(learner_args, spec.num_labels, rows)
    return MeasuredTrainer(generator, learner, TextEncoder(learner_args, rows, device="cpu"), args, rows, labels)


def parameters_of(learner) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in learner.model.named_parameters()}


def by_label(values, labels_S) -> dict:
    result: dict[int, list] = {}
    for value, label in zip(values, labels_S.tolist(), strict=True):
        result.setdefault(label, []).append(value)
    return result


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def bare_token_rate(model, num_tokens: int, length: int, micro_batch: int = 1024) -> float:
    """Tokens per second of a forward and backward pass over a rectangle of tokens, logits and cross-entropy."""
    rows = num_tokens // length
    ids = torch.randint(0, 1000, (rows, length))
    start = time.perf_counter()
    for piece in ids.split(max(1, micro_batch // length)):
        logits = model(input_ids=piece, use_cache=False).logits[:, :-1]
        F.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten(), reduction="sum").backward()
    seconds = time.perf_counter() - start
    model.zero_grad()
    return ids.numel() / seconds


def plain_side(plain: PlainMatching, fresh: MeasuredTrainer, number: int, optimizers) -> tuple[dict, float]:
    """The plain formulation of the step that `fresh` has just made: seconds by phase, and its loss."""
    batch, nll_J, _, _ = fresh.last
    trajectory, pool = fresh.learner_trajectory, fresh.pool
    real: dict[int, list] = {}
    for i, label, _ in trajectory.teacher_rows():
        real.setdefault(label, []).append(fresh.train_rows[i])
    synthetic = by_label([pool.rows[i] for i in batch.pool_positions], batch.labels_S)
    nll = {y: torch.stack(values) for y, values in by_label(list(nll_J), batch.labels_S).items()}
    seconds = {}
    seconds["match"], (loss, coefficients) = timed(
        plain.match, parameters_of(trajectory.learner), parameters_of(trajectory.student), real, synthetic, nll
    )
    # The reference updates the generator label by label.
    start = time.perf_counter()
    for label, samples in by_label(batch.samples, batch.labels_S).items():
        generator_update(fresh.generator, samples, coefficients[label])
    optimizers["generator"].step()
    optimizers["generator"].zero_grad()
    seconds["generator"] = time.perf_counter() - start
    labels = torch.tensor(fresh.train_labels)
    batches = []
    for k in range(LEARNER_STEPS):
        index = epoch_batch(len(labels), LEARNER_BATCH, number * LEARNER_STEPS + k, 0).tolist()
        batches.append(([fresh.train_rows[i] for i in index], labels[index]))
    plain.model.load_state_dict(trajectory.learner.model.state_dict())
    seconds["learner"], _ = timed(plain.learner_steps, optimizers["learner"], batches)
    return seconds, loss


def compare(options) -> dict:
    """Runs both sides in turn; returns the part of the result that comes from this process."""
    spec, rows, labels = load_rows(options, 2)
    generator = generation.forced_length_generator(spec, rows)
    samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
    hazard = generation.length_hazard(samples, generator.format.eos)
    sampling = generation.measure(generator, hazard, repeats=options.repeats)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        fresh = make_trainer(options, spec, rows, labels, generator, Path(scratch) / "fresh")
        start = time.perf_counter()
        number = options.trajectories
        directory = Path(scratch) / "stored"
        stored = make_trainer(options, spec, rows, labels, generator, directory, num_trajectories=number)
        trajectory_seconds = (time.perf_counter() - start) / number
        eager = AutoModelForSequenceClassification.from_pretrained(
            options.learner or str(offline_model_path("minilm")), num_labels=2, attn_implementation="eager"
        )
        learner = fresh.learner_trajectory.learner
        plain = PlainMatching(eager, learner.tokenizer, learner.head_parameters(), learner.max_length)
        optimizers = {
            "generator": torch.optim.AdamW(generator.model.parameters(), lr=3e-7),
            "learner": torch.optim.AdamW(eager.parameters(), lr=1e-4),
        }
        ours = {"fresh": [], "stored": []}
        theirs, rates, differences = [], [], []
        for number in range(options.repeats + 1):
            ours["fresh"].append({"step": fresh.measured_step(number, optimizers["generator"]), **fresh.noted})
            seconds, loss = plain_side(plain, fresh, number, optimizers)
            theirs.append(seconds)
            differences.append(abs(loss - fresh.last[2]))
            entry = {"step": stored.measured_step(number, optimizers["generator"]), **stored.noted}
            tokens = sum(len(sample) for sample in stored.last[0].samples)
            entry["token_rate"] = tokens / entry["seconds_generator"]
            ours["stored"].append(entry)
            rates.append(bare_token_rate(generator.model, tokens, 32))
            print(f"repeat {number}: plain {seconds}, ours {ours['stored'][-1]}", file=sys.stderr, flush=True)
    return summarise(ours, theirs, rates, differences, trajectory_seconds, sampling)


def generator_phase(options) -> dict:
    """The generator phase of the trainer's step beside the bare loop: token rates and their fraction."""
    spec, rows, labels = load_rows(options, 2)
    generator = generation.forced_length_generator(spec, rows)
    ours, bare = [], []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        trainer = make_trainer(options, spec, rows, labels, generator, scratch)
        optimizer = torch.optim.AdamW(generator.model.parameters(), lr=3e-7)
        for _ in range(options.repeats + 1):
            trainer.measured_step(0, optimizer)
            tokens = sum(len(sample) for sample in trainer.last[0].samples)
            ours.append(tokens / trainer.noted["seconds_generator"])
            bare.append(bare_token_rate(generator.model, tokens, 32))
    rates = {"trainer": statistics.median(ours[1:]), "bare": statistics.median(bare[1:])}
    return {
        "tokens": tokens,
        "tokens_per_second": rates,
        "generator_token_rate_fraction": rates["trainer"] / rates["bare"],
        "repeats": options.repeats,
    }


def summarise(ours, theirs, rates, differences, trajectory_seconds: float, sampling: dict) -> dict:
    """Medians and ratios; the first repeat (allocation, optimizer states, learner at the start) is left out."""

    def median(entries, key):
        return statistics.median(entry[key] for entry in entries[1:])

    plain = {phase: median(theirs, phase) for phase in PHASES}
    fresh = {phase: median(ours["fresh"], f"seconds_{phase}") for phase in PHASES}
    stored = {phase: median(ours["stored"], f"seconds_{phase}") for phase in PHASES}
    config = DistillationConfig(output_dir="unused")
    # After the last of an outer step's updates the learner is not needed any more.
    learner_share = (INNER_STEPS - 1) / INNER_STEPS
    plain_inner = learner_share * plain["learner"] + plain["match"]
    stored_inner = stored["learner"] + stored["match"]
    amortised = stored_inner + trajectory_seconds * 20 / (200 * INNER_STEPS)
    samples = 2 * config.pool_per_class / config.generate_interval
    cluster = ours["stored"][0]["seconds_cluster"] / config.generate_interval
    plain_outer = INNER_STEPS * (plain_inner + plain["generator"]) + samples * sampling["seconds_per_sample"]["plain"]
    our_outer = INNER_STEPS * median(ours["stored"], "step") + cluster
    our_outer += samples * sampling["seconds_per_sample"]["ours"]
    return {
        "ratios": {
            "matching": plain["match"] / fresh["match"],
            "matching_stored": plain_inner / stored_inner,
            "matching_amortised": plain_inner / amortised,
            "outer_step": plain_outer / our_outer,
            "generation": sampling["ratio"],
        },
        "generator_token_rate_fraction": median(ours["stored"], "token_rate") / statistics.median(rates[1:]),
        "max_loss_difference": max(differences),
        "seconds": {
            "plain": plain,
            "ours_fresh": fresh,
            "ours_stored": stored,
            "ours_stored_step": median(ours["stored"], "step"),
            "trajectory": trajectory_seconds,
            "outer_step": {"plain": plain_outer, "ours": our_outer},
        },
        "generation": sampling,
    }


def peak_memory_mb(reset: bool = False) -> float:
    """Peak resident memory of this process since the last reset, MiB (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def one_size(options) -> dict:
    """Peak memory and seconds of a step with `--labels` labels, in a process of its own."""
    spec, rows, labels = load_rows(options, options.labels, minimum=400)
    small = {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 5000}
    generator = generation.forced_length_generator(spec, rows, **small)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        arguments = {"pool_per_class": 64, "teacher_sets": 1}
        trainer = make_trainer(options, spec, rows, labels, generator, scratch, **arguments)
        optimizer = torch.optim.AdamW(generator.model.parameters(), lr=3e-7)
        trainer.pool.refresh(0)
        before = peak_memory_mb(reset=True)
        trainer.measured_step(0, optimizer)
        return {
            "labels": options.labels,
            "rows": len(trainer.last[0].samples),
            "before_mb": before,
            "peak_mb": peak_memory_mb(),
            "seconds": sum(trainer.noted[f"seconds_{phase}"] for phase in PHASES),
            **{f"seconds_{phase}": trainer.noted[f"seconds_{phase}"] for phase in PHASES},
        }


def sizes(options) -> list[dict]:
    """[`one_size`] for 2, 8, 32 and 77 labels."""
    results = []
    for number in (2, 8, 32, 77):
        command = [sys.executable, __file__, "--labels", str(number)]
        for name in ("data_dir", "learner", "scratch"):
            if getattr(options, name):
                command += [f"--{name}", getattr(options, name)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        results.append(json.loads(done.stdout))
        print(results[-1], file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/train.parquet; the embedded data set without it")
    parser.add_argument("--learner", help="directory or Hub id (default: all-MiniLM-L6-v2 as prepared)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trajectories", type=int, default=2, help="how many are computed and stored")
    parser.add_argument("--scratch", help="directory for the trajectories (0.9 GB each)")
    parser.add_argument("--labels", type=int, help="only measure a step with so many labels")
    parser.add_argument("--only_generator", action="store_true", help="only measure the generator phase")
    options = parser.parse_args()
    if options.labels:
        print(json.dumps(one_size(options)))
        return
    if options.only_generator:
        print_result(generator_phase(options))
        return
    result = compare(options)
    growth = sizes(options)
    result["memory_ratio_labels"] = growth[-1]["peak_mb"] / growth[0]["peak_mb"]
    result["step_growth"] = growth
    print_result({"task": "sst2" if options.data_dir else "toy", "repeats": options.repeats} | result)


if __name__ == "__main__":
    main()
