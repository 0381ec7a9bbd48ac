# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which learner trajectories a run follows: fresh or stored ones."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..models.encoder import TextEncoder
from ..models.learner import Learner
from .checkpoints import resume_requested
from .processes import Processes
from .stored_trajectories import StoredTrajectories, stored_seed
from .teacher import model_fingerprint, rows_fingerprint, teacher_sets
from .trajectory import LearnerTrajectory


def build_trajectories(
    learner: Learner,
    encoder: TextEncoder,
    rows: Sequence[tuple[str, ...]],
    labels: Sequence[int],
    num_labels: int,
    args,
    processes: Processes,
    show_progress: bool = True,
) -> tuple[LearnerTrajectory, LearnerTrajectory | StoredTrajectories]:
    """
    The trajectory that computes, and the one that training follows: the same, or `args.num_trajectories` stored ones,
    which are computed where they are missing.

    Stored trajectories of a `trajectory_dir` keep the seed with which they were made; those in `output_dir` belong to
    the run, and go when it is overwritten.

    Args:
        learner, encoder: the classifier, and what embeds rows for the teacher sets.
        rows, labels: real training rows and label ids.
        num_labels (`int`): number of classes.
        args ([`DistillationConfig`]): the configuration.
        processes ([`Processes`]): who shares the work.
        show_progress (`bool`): show progress bars.
    """
    stored = args.num_trajectories > 0
    directory = Path(args.trajectory_dir or Path(args.output_dir) / "trajectories")
    if stored and args.trajectory_dir is None and not resume_requested(args.resume_from_checkpoint):
        if processes.index == 0:
            shutil.rmtree(directory, ignore_errors=True)
        processes.wait()
    seed = processes.from_main(stored_seed(directory, args.seed)) if stored else args.seed
    sets = teacher_sets(
        *(encoder, rows, labels, num_labels, args.teacher_sets, args.real_per_class, seed, processes),
        show_progress=show_progress,
    )
    fresh = LearnerTrajectory(learner, rows, labels, sets, args, seed, processes)
    if not stored:
        return fresh, fresh
    model = model_fingerprint(learner.model, learner.tokenizer, learner.max_length, list(learner.head_modules))
    fingerprint = f"{rows_fingerprint(rows, labels)} {model}"
    found = StoredTrajectories(fresh, directory, args.num_trajectories, fingerprint, processes)
    found.compute(show_progress)
    return fresh, found
