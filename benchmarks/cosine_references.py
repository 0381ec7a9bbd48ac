# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
What does the gradient cosine that distillation raises tell? That of real rows, and of rows made worse on purpose.

    python benchmarks/cosine_references.py --task sst2 --data_dir data --learner "$(ddg-hf models --path minilm)" \\
        --student ema --inner_steps 10 --learner_steps 5 --learner_batch_size 32 --real_per_class 100 --teacher_sets 5

The students and teacher sets are those of the evaluations of `ddg-hf distill` with the same options, so that these
figures can be compared with its `eval_gradient_cosine`. Needs no generator. Prints one JSON object: the mean over
students and labels for

- `real`: `--probe_samples` training rows of each label, drawn at random (there `eval_real_gradient_cosine`);
- `k_centers`: a teacher set (`--real_per_class` rows) that is the teacher at none of these students, if there is one;
- `words_shuffled`: the words of all these rows of a label, put in any order and cut to texts as long as before;
- `labels_exchanged`: the same rows under other labels (there `eval_exchanged_gradient_cosine`).
"""

import json
import random
import sys
from collections.abc import Sequence

from ddg_hf.configs import DataArguments, LearnerArguments, RecipeParser
from ddg_hf.trainer.distillation_config import DistillationConfig

Rows = list[tuple[str, ...]]


def words_shuffled(rows: Sequence[tuple[str, ...]], seed: int) -> Rows:
    """As many texts, as many words in each, and together the same words of each column."""
    rng, columns = random.Random(seed), []
    for texts in zip(*rows, strict=True):
        words = [word for text in texts for word in text.split()]
        rng.shuffle(words)
        left = iter(words)
        columns.append([" ".join(next(left) for _ in text.split()) for text in texts])
    return list(zip(*columns, strict=True))


def other_teacher_set(trajectory, positions: Sequence[int]):
    """A teacher set that is not the teacher at any of these positions, if there is one: its row indices by label."""
    used = set()
    for position in positions:
        trajectory.place_at("eval", position)
        used |= {row for row, _, _ in trajectory.teacher_rows()}
    unused = (rows for rows in trajectory.teacher_sets if not {int(i) for own in rows for i in own} <= used)
    return next(unused, None)


def references(trajectory, snapshots, rows: Rows, labels: Sequence[int], number: int, seed: int) -> dict[str, float]:
    """The cosines of `number` rows of each label and of what is made of them, by name."""
    from ddg_hf.trainer.snapshots import exchanged

    num_labels = len(trajectory.teacher_sets[0])
    with trajectory.elsewhere():
        other = other_teacher_set(trajectory, snapshots.positions)
    real = snapshots.real_rows(rows, labels, [number] * num_labels)
    measured = {"real": real}
    if other is not None:
        measured["k_centers"] = [[rows[int(i)] for i in members] for members in other]
    measured["words_shuffled"] = [words_shuffled(own, seed) for own in real]
    measured["labels_exchanged"] = exchanged(real)
    return {name: snapshots.gradient_cosine(chosen) for name, chosen in measured.items()}


def main(argv: list[str] | None = None) -> None:
    parser = RecipeParser((DataArguments, LearnerArguments, DistillationConfig))
    data_args, learner_args, args = parser.parse(argv)

    from ddg_hf.data.rows import rows_and_labels
    from ddg_hf.models.encoder import TextEncoder
    from ddg_hf.models.learner import Learner
    from ddg_hf.trainer.processes import Processes
    from ddg_hf.trainer.snapshots import EvaluationSnapshots
    from ddg_hf.trainer.trajectories import build_trajectories

    spec, dataset = data_args.load(seed=args.seed)
    rows, labels = rows_and_labels(dataset["train"], spec)
    learner = Learner.load(learner_args, spec.num_labels, rows, device=args.device)
    encoder = TextEncoder(learner_args, rows=rows, device=args.device)
    trajectory, _ = build_trajectories(learner, encoder, rows, labels, spec.num_labels, args, Processes())
    snapshots = EvaluationSnapshots(trajectory, args.eval_snapshots)
    found = references(trajectory, snapshots, rows, labels, args.probe_samples, args.seed)
    settings = "student inner_steps learner_steps learner_batch_size learner_learning_rate real_per_class teacher_sets"
    settings += " eval_snapshots match_parameters seed" + " ema_decay" * (args.student == "ema")
    result = {"command": "python benchmarks/cosine_references.py", "task": spec.name}
    result |= {name: getattr(args, name) for name in settings.split()}
    result |= {"rows_per_label": args.probe_samples, "gradient_cosine": found}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
