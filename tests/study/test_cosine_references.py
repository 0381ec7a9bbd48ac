# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/cosine_references.py`: the gradient cosine of real rows, and of rows made worse."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.cosine_references import other_teacher_set, references, words_shuffled
from tests.trainer.helpers import make_discerning_learner, make_distillation_trainer

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "cosine_references.py"


def test_shuffled_texts_have_the_same_words():
    rows = [("a b c", "x"), ("d e", "y z"), ("f g h i", "w")]
    shuffled = words_shuffled(rows, seed=0)
    assert shuffled != rows and words_shuffled(rows, seed=0) == shuffled
    for column in (0, 1):
        before, after = ([row[column] for row in some] for some in (rows, shuffled))
        assert Counter(" ".join(before).split()) == Counter(" ".join(after).split())
        assert [len(text.split()) for text in before] == [len(text.split()) for text in after]


def test_the_other_teacher_set_is_none_of_the_teachers(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, teacher_sets=3, real_per_class=4, num_rows=200)
    trajectory = trainer.learner_trajectory
    with trajectory.elsewhere():
        other = {int(i) for rows in other_teacher_set(trajectory, [0, 1]) for i in rows}
        for position in (0, 1):
            trajectory.place_at("eval", position)
            assert not other <= {row for row, _, _ in trajectory.teacher_rows()}
        assert other_teacher_set(trajectory, [0, 1, 2]) is None


def test_a_learner_that_tells_the_labels_apart_is_not_fooled(pretrained, tmp_path):
    """And the cosines are those that evaluations of a distillation log."""
    trainer = make_distillation_trainer(
        pretrained, tmp_path, make_discerning_learner(), student="shared", learner_steps=20, teacher_sets=4
    )
    rows, labels = trainer.train_rows, trainer.train_labels
    found = references(trainer.learner_trajectory, trainer.snapshots, rows, labels, number=20, seed=0)
    logged = trainer.snapshots.references(rows, labels, [20, 20])
    assert [found["real"], found["labels_exchanged"]] == list(logged.values())
    assert found["real"] > 0.8 and found["k_centers"] > 0.8 and found["labels_exchanged"] < 0.5


def test_program():
    command = [sys.executable, str(PROGRAM), "--task", "toy", "--learner", "tiny", "--output_dir", "unused"]
    command += "--inner_steps 2 --learner_steps 1 --learner_batch_size 8 --real_per_class 8 --teacher_sets 4".split()
    done = subprocess.run([*command, "--probe_samples", "6"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows_per_label"] == 6 and found["student"] == "ema" and found["task"] == "toy"
    assert list(found["gradient_cosine"]) == ["real", "k_centers", "words_shuffled", "labels_exchanged"]
    assert len(set(found["gradient_cosine"].values())) == 4
