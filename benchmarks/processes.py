# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Seconds of the parts of a distillation in one and in two processes on the CPU, one thread each.

    python benchmarks/processes.py --data_dir data > docs/results/processes.json

Learner: all-MiniLM-L6-v2 (`ddg-hf models`); generator: 4 layers of 256 with random weights that write texts of a real
data set's lengths; 1,500 rows of SST-2, or of the embedded data set without `--data_dir`. The same script runs as one
process and under `accelerate launch` as two, in turn. Prints one JSON object: seconds of the slowest process, and the
ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import generation
import torch
from report import print_result

from ddg_hf.configs import LearnerArguments
from ddg_hf.data.loading import load_data
from ddg_hf.data.rows import rows_and_labels
from ddg_hf.models.encoder import TextEncoder
from ddg_hf.models.learner import Learner
from ddg_hf.models.offline import offline_model_path
from ddg_hf.trainer.distillation_config import DistillationConfig
from ddg_hf.trainer.distillation_trainer import DistillationTrainer
from ddg_hf.trainer.processes import Processes
from ddg_hf.trainer.teacher import teacher_sets

CONFIG = Path(__file__).resolve().parents[1] / "accelerate_configs" / "cpu_ddp.yaml"
SETTINGS = {"num_trajectories": 2, "inner_steps": 3, "learner_steps": 3, "pool_per_class": 128, "teacher_sets": 4}
STEPS, NUM_ROWS = 3, 1500


class TimedTrainer(DistillationTrainer):
    """The trainer, with the seconds of its steps at hand."""

    def __init__(self, *args, **kwargs):
        self.seconds: dict[str, list[float]] = {}
        super().__init__(*args, **kwargs)

    def note(self, **values):
        for name, value in values.items():
            if name.startswith("seconds_"):
                self.seconds.setdefault(name.removeprefix("seconds_"), []).append(value)
        super().note(**values)


def run(options) -> None:
    """One run in this process; the main process prints its seconds."""
    spec, data = load_data(task="sst2", data_dir=options.data_dir) if options.data_dir else load_data(task="toy")
    rows, labels = (values[:NUM_ROWS] for values in rows_and_labels(data["train"], spec))
    generator = generation.forced_length_generator(spec, rows, n_layer=4, n_embd=256, n_head=4, vocab_size=5000)
    samples = [generator.format.encode(row, label) for row, label in zip(rows, labels, strict=True)]
    generation.force_lengths(generator, generation.length_hazard(samples, generator.format.eos))
    learner_args = LearnerArguments(learner=options.learner or str(offline_model_path("minilm")))
    quiet = {"disable_tqdm": True, "report_to": "none", "probe_samples": 0, "save_strategy": "no", "seed": 1}
    with tempfile.TemporaryDirectory() as home:
        # Nothing may come from the cache.
        os.environ["DDG_HF_HOME"] = home
        directory = options.scratch
        args = DistillationConfig(output_dir=directory, max_steps=STEPS, logging_steps=STEPS, **SETTINGS, **quiet)
        learner, encoder = Learner.load(learner_args, spec.num_labels, rows), TextEncoder(learner_args, rows)
        start = time.perf_counter()
        trainer = TimedTrainer(generator, learner, encoder, args, rows, labels)
        everything = time.perf_counter() - start
        start = time.perf_counter()
        processes = Processes(trainer.accelerator)
        arguments = (spec.num_labels, args.teacher_sets, args.real_per_class, args.seed + 1, processes)
        teacher_sets(encoder, rows, labels, *arguments, show_progress=False)
        sets = time.perf_counter() - start
        trainer.train()
    seconds = {"teacher_sets": sets, "trajectories": everything - sets}
    seconds |= {name: statistics.median(values) for name, values in trainer.seconds.items()}
    names = sorted(seconds)
    values = torch.tensor([seconds[name] for name in names])
    if args.world_size > 1:
        torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    if args.process_index == 0:
        print("seconds:" + json.dumps(dict(zip(names, values.tolist(), strict=True))), flush=True)


def launch(options, processes: int, scratch: str) -> dict[str, float]:
    """[`run`] in processes of its own."""
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(CONFIG)] if processes > 1 else []
    command = [sys.executable, *launcher, __file__, "--scratch", scratch]
    for name in ("data_dir", "learner"):
        if getattr(options, name):
            command += [f"--{name}", getattr(options, name)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("seconds:")]
    print(processes, line, file=sys.stderr, flush=True)
    return json.loads(line.removeprefix("seconds:"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", help="directory with sst2/train.parquet; the embedded data set without it")
    parser.add_argument("--learner", help="directory or Hub id (default: all-MiniLM-L6-v2 as prepared)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", help="run once, in this process, with this directory")
    options = parser.parse_args()
    if options.scratch:
        return run(options)
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for processes, entries in found.items():
            with tempfile.TemporaryDirectory() as scratch:
                entries.append(launch(options, processes, scratch))
    medians = {n: {k: statistics.median(e[k] for e in entries) for k in entries[0]} for n, entries in found.items()}
    one, two = medians[1], medians[2]
    result = {name: {"one": one[name], "two": two[name], "ratio": one[name] / two[name]} for name in one}
    print_result({"seconds": result, "settings": SETTINGS, "repeats": options.repeats, "threads_per_process": 1})


if __name__ == "__main__":
    main()
