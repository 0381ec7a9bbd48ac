# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Measure sets without evaluating them: how well their gradients match real ones, how varied, how long, how copied.

    ddg-hf measure --task sst2 --distilled runs/sst2/distilled --learner bert-base-uncased \
        --model Qwen/Qwen2.5-0.5B --output_dir runs/sst2/measures

Writes `measures.json`: for every set the cosine between the mean gradient of its rows and that of a K-centers teacher
set at a learner trained on real rows, the share of rows to which a probe gives their label, distinct-2, self-BLEU, and
the tokens of a demonstration as `--model` counts them; for every number of rows per class the share of copies and near
copies of training rows.

The cosine is a proxy of what distillation maximises, not the same number: all rows weigh the same, there is one
learner and one teacher set, and gradients are those of the head alone.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from ddg_hf.configs import DataArguments, ICLModelArguments, LearnerArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError

MEASURES_FILE = "measures.json"


@dataclass
class MeasureArguments:
    """
    Which sets are measured.

    Parameters:
        distilled (`str`): Directory or Hub id of sets, or a file of JSON lines.
        dpc (`list[int]`, *optional*): Configurations; all by default.
        num_sets (`int`, *optional*): The first so many sets; all by default.
        real_per_class (`int`, *optional*, defaults to `200`):
            Real rows per label in the teacher set, at most half of the class.
    """

    distilled: str | None = field(default=None, metadata={"help": "Sets: a directory, a Hub id or JSON lines."})
    dpc: list[int] | None = field(default=None, metadata={"help": "Configurations (default: all)."})
    num_sets: int | None = field(default=None, metadata={"help": "The first so many sets (default: all)."})
    real_per_class: int = field(default=200, metadata={"help": "Real rows per label in the teacher set."})

    def __post_init__(self):
        if self.distilled is None:
            raise UserError("--distilled is missing: give the sets to measure")
        if self.real_per_class < 1:
            raise UserError(f"--real_per_class must be at least 1, got {self.real_per_class}")
        if self.num_sets is not None and self.num_sets < 1:
            raise UserError(f"--num_sets must be at least 1, got {self.num_sets}")
        if self.dpc is not None and min(self.dpc) < 1:
            raise UserError(f"--dpc must be at least 1, got {min(self.dpc)}")


def make_parser() -> RecipeParser:
    """The parser of its command line."""
    from ddg_hf.evaluation.learner_snapshots import SnapshotArguments

    return RecipeParser(
        (DataArguments, LearnerArguments, ICLModelArguments, MeasureArguments, SnapshotArguments, RunArguments),
        prog="ddg-hf measure",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, measures, and writes `measures.json`."""
    everything = make_parser().parse(argv)
    data_args, learner_args, model_args, arguments, snapshot_args, run_args = everything

    import torch

    from ddg_hf.data.rows import fingerprints, rows_and_labels
    from ddg_hf.evaluation.demonstrations import select_sets
    from ddg_hf.evaluation.label_control import LabelProbe
    from ddg_hf.evaluation.measures import measure_sets
    from ddg_hf.evaluation.results import write_readable_json
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.learner import Learner
    from ddg_hf.models.loading import load_tokenizer
    from ddg_hf.models.names import resolve_model
    from ddg_hf.provenance import METADATA_FILE, atomic_directory, check_output_dir, run_metadata, write_json
    from ddg_hf.selection.teacher_sets import build_teacher_set
    from ddg_hf.terminal import Progress, result, say

    output_dir = check_output_dir(run_args.output_dir, run_args.overwrite, "measure", replaces=True)
    spec, dataset = data_args.load(seed=run_args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    sets = select_sets(spec, [], arguments.distilled, None, arguments.dpc, arguments.num_sets, run_args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = TextEncoder(learner_args, rows=rows, device=device)
    teacher = build_teacher_set(
        encoder.embed(rows), labels, spec.num_labels, arguments.real_per_class, seed=run_args.seed
    )
    with Progress("measuring", snapshot_args.snapshots, "learner state") as bar:
        found = measure_sets(
            sets,
            (rows, labels),
            spec,
            learner=Learner.load(learner_args, spec.num_labels, rows, device=device),
            teacher=teacher,
            probe=LabelProbe(encoder, rows, labels),
            tokenizer=load_tokenizer(resolve_model(model_args.model), model_args.revision),
            snapshots=snapshot_args,
            seed=run_args.seed,
            progress=bar.update,
        )
    measures = {"task": spec.name, "sets": arguments.distilled, "configs": found}
    metadata = run_metadata("measure", list(everything), task=spec.name, data_fingerprint=fingerprints(dataset))
    with atomic_directory(output_dir) as directory:
        write_readable_json(directory / MEASURES_FILE, measures)
        write_json(directory / METADATA_FILE, metadata)
    for entry in measures["configs"]:
        cosine = sum(entry["gradient_cosine"]) / len(entry["gradient_cosine"])
        say(
            f"dpc {entry['dpc']}: gradient cosine {cosine:.4f}, label consistency "
            f"{100 * sum(entry['label_consistency']) / len(entry['label_consistency']):.1f} %, "
            f"copies {100 * entry['copies']:.1f} %, near copies {100 * entry['near_copies']:.1f} %"
        )
    say(f"measures: {output_dir / MEASURES_FILE}")
    result({"command": "measure", "output_dir": str(output_dir), **measures})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
