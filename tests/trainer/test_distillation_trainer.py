# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Distillation: what is logged, and what changes nothing."""

import json
import math
from collections import Counter

import pytest
import torch

from ddg_hf.errors import UserError
from ddg_hf.models.sequence_format import EncodedText
from ddg_hf.trainer.distillation_config import DistillationConfig
from ddg_hf.trainer.lm_config import GeneratorPretrainingConfig
from ddg_hf.trainer.runs import run_training
from ddg_hf.trainer.snapshots import exchanged, spread, tells_labels_apart
from tests.trainer import helpers
from tests.trainer.helpers import (
    assert_close,
    assert_equal,
    logged,
    make_discerning_learner,
    make_distillation_trainer,
    make_learner,
    weights,
)


@pytest.fixture
def trained(pretrained, tmp_path):
    """Trains with the given arguments; returns the trainer."""

    def train(name: str = "run", resume: str | None = None, **arguments):
        trainer = make_distillation_trainer(pretrained, tmp_path / name, **arguments)
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return train


@pytest.mark.parametrize("student", ["ema", "shared"])
def test_logged_loss_is_the_matching_loss(trained, student):
    trainer = trained(student=student)
    lines = logged(trainer)
    assert len(lines) == 6
    for line in lines:
        assert 0 < line["loss"] < 2
        assert line["loss"] == pytest.approx(1 - line["gradient_cosine"], abs=1e-5)
        both = (line["label_gradient_cosine/negative"] + line["label_gradient_cosine/positive"]) / 2
        assert line["gradient_cosine"] == pytest.approx(both, abs=1e-5)
        assert 1 <= line["effective_sample_size"] <= 8 + 1e-4
        assert line["synthetic_nll"] > 0
        assert line["malformed_rate"] >= 0 and line["held_out_nll"] > 0
    phases = ("generate", "cluster", "learner", "match", "generator")
    first = trainer.state.log_history[0]
    assert {f"seconds_{phase}" for phase in phases} <= set(first)
    assert first["samples_per_second"] > 0 and first["peak_memory_mb"] > 0


def test_loss_over_several_steps_is_their_mean(trained):
    single, joint = logged(trained("a")), logged(trained("b", logging_steps=3))
    for i, line in enumerate(joint):
        for key in ("loss", "gradient_cosine"):
            mean = sum(x[key] for x in single[3 * i : 3 * i + 3]) / 3
            assert line[key] == pytest.approx(mean, abs=1e-5)


def test_generator_is_changed_and_runs_are_repeatable(trained, pretrained, tmp_path):
    first, again, other = trained("a"), trained("b"), trained("c", seed=7)
    assert_equal(weights(first), weights(again))
    assert logged(first) == logged(again)
    assert logged(first) != logged(other)
    start = weights(make_distillation_trainer(pretrained, tmp_path / "d"))
    assert all(not torch.equal(start[k], v) for k, v in weights(first).items() if k.endswith("mlp.c_fc.weight"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"gradient_accumulation_steps": 4},
        {"max_graph_tokens": 0},
        {"tokens_per_micro_batch": 20},
        {"tokens_per_micro_batch": 20, "max_graph_tokens": 0, "gradient_accumulation_steps": 3},
    ],
    ids=str,
)
def test_splitting_a_batch_changes_nothing(trained, arguments):
    """SGD, because Adam divides gradients that are all but zero by themselves."""
    common = {"optim": "sgd", "learning_rate": 1.0, "max_steps": 3, "normalize_temperature": 0.5}
    whole, split = trained("whole", **common), trained("split", **common, **arguments)
    assert_close(weights(split), weights(whole), atol=2e-6)
    for ours, theirs in zip(logged(split), logged(whole), strict=True):
        for key in ("loss", "gradient_cosine", "synthetic_nll", "effective_sample_size"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4), key


# inner_steps is 4: a checkpoint in the middle of an outer step, at its end, and with a regeneration in between.
@pytest.mark.parametrize(
    ("student", "at"), [("ema", 3), ("shared", 3), ("ema", 4)], ids=["ema middle", "shared middle", "ema end"]
)
def test_resuming_is_the_same_run(trained, tmp_path, student, at):
    common = {"student": student, "save_strategy": "steps", "save_steps": at, "max_steps": 6, "logging_steps": 2}
    straight = trained("run", **common)
    resumed = trained("again", resume=str(tmp_path / "run" / f"checkpoint-{at}"), **common)
    assert resumed.state.global_step == 6
    assert_equal(weights(resumed), weights(straight))
    assert logged(resumed) == logged(straight)
    assert_equal(resumed.trajectory.student.model.state_dict(), straight.trajectory.student.model.state_dict())
    assert resumed.pool.targets == straight.pool.targets


def test_resuming_within_accumulated_steps(trained, tmp_path):
    common = {"gradient_accumulation_steps": 2, "save_strategy": "steps", "save_steps": 3}
    straight = trained("run", **common)
    resumed = trained("again", resume=str(tmp_path / "run" / "checkpoint-3"), **common)
    assert_equal(weights(resumed), weights(straight))
    assert logged(resumed) == logged(straight)


def test_evaluation_in_between_changes_nothing(trained, pretrained, tmp_path):
    plain = trained("a")
    evaluated = trained("b", eval_strategy="steps", eval_steps=3, probe_samples=8)
    assert_equal(weights(evaluated), weights(plain))
    assert [x["loss"] for x in logged(evaluated)] == [x["loss"] for x in logged(plain)]
    cosines = [x["eval_gradient_cosine"] for x in evaluated.state.log_history if "eval_gradient_cosine" in x]
    assert len(cosines) == 2 and all(-1 <= c <= 1 for c in cosines) and cosines[0] != cosines[1]
    real = [x["eval_real_gradient_cosine"] for x in evaluated.state.log_history if "eval_gradient_cosine" in x]
    untrained = make_distillation_trainer(pretrained, tmp_path / "c", probe_samples=8).measure_generator()
    assert real == [untrained["real_gradient_cosine"]] * 2, "it does not depend on the generator"


def test_cosines_of_real_rows(pretrained, tmp_path):
    """Of all rows it is that of the rows; of fewer, that of as many, each of its label; and it is computed once."""
    trainer = make_distillation_trainer(pretrained, tmp_path)
    snapshots, rows, labels = trainer.snapshots, trainer.train_rows, trainer.train_labels
    by_label = [[row for row, label in zip(rows, labels, strict=True) if label == y] for y in (0, 1)]
    whole = snapshots.references(rows, labels, [100, 100])
    assert whole["real_gradient_cosine"] == pytest.approx(snapshots.gradient_cosine(by_label), rel=1e-5)
    assert whole["exchanged_gradient_cosine"] == pytest.approx(snapshots.gradient_cosine(by_label[::-1]), rel=1e-5)
    asked, measure = [], snapshots.gradient_cosine
    snapshots.gradient_cosine = lambda chosen: asked.append(chosen) or measure(chosen)
    few = snapshots.references(rows, labels, [5, 3])
    assert [len(texts) for texts in asked[0]] == [5, 3] and few["real_gradient_cosine"] < whole["real_gradient_cosine"]
    assert all(Counter(texts) <= Counter(members) for texts, members in zip(asked[0], by_label, strict=True))
    assert asked[1] == asked[0][::-1]
    assert snapshots.references(rows, labels, [5, 3]) == few and len(asked) == 2


def test_snapshots_are_spread_over_the_trajectory(pretrained, tmp_path):
    assert spread(3, 10) == [1, 5, 8] and spread(1, 10) == [5] and spread(10, 10) == list(range(10))
    assert spread(3, 1) == [0] and spread(5, 2) == [0, 1], "no more than there are"
    trainer = make_distillation_trainer(pretrained, tmp_path, inner_steps=4, eval_snapshots=2)
    assert trainer.snapshots.positions == [1, 3]


def test_labels_are_exchanged():
    assert exchanged(["a", "b"]) == ["b", "a"]
    assert exchanged(["a", "b", "c", "d", "e"]) == ["c", "d", "e", "a", "b"]


@pytest.mark.parametrize(
    ("real", "wrong", "apart"), [(0.795, 0.781, False), (0.905, 0.580, True), (0.7, 0.62, True), (-0.1, -0.5, True)]
)
def test_when_labels_are_told_apart(real, wrong, apart):
    assert tells_labels_apart(real, wrong) == apart


@pytest.mark.parametrize(
    ("student", "discerning", "warning"),
    [
        ("ema", False, "raise --learner_steps or lower --ema_decay"),
        ("shared", False, "raise --learner_steps\n"),
        ("ema", True, ""),
    ],
)
def test_students_that_cannot_tell_labels_apart(pretrained, tmp_path, caplog, student, discerning, warning):
    learner = make_discerning_learner() if discerning else make_learner()
    arguments = {"student": student, "ema_decay": 0.999, "learner_learning_rate": 1e-6}
    trainer = make_distillation_trainer(pretrained, tmp_path, learner, **arguments)
    found = trainer.snapshots.references(trainer.train_rows, trainer.train_labels, [20, 20])
    assert ("hardly tell the labels apart" in caplog.text) == bool(warning), found
    assert warning in caplog.text


def test_measured_cosine_is_comparable_between_calls(trained):
    trainer = trained()
    student = weights_of(trainer.trajectory.student)
    assert trainer.measure_gradient_cosine(16) == trainer.measure_gradient_cosine(16)
    assert_equal(weights_of(trainer.trajectory.student), student)


def weights_of(learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def test_student_is_the_moving_average_of_the_learner(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, ema_decay=0.9, learner_steps=1)
    trajectory = trainer.trajectory
    trajectory.move_to(0, 0)
    assert_equal(weights_of(trajectory.student), weights_of(trajectory.learner))
    average = weights_of(trajectory.learner)
    for position in (1, 2, 3):
        trajectory.move_to(0, position)
        learner = weights_of(trajectory.learner)
        average = {k: torch.lerp(v, learner[k], 0.1) if v.is_floating_point() else v for k, v in average.items()}
    assert_close(weights_of(trajectory.student), average)
    assert not torch.equal(trajectory.student.head.weight, trajectory.learner.head.weight)


def test_independent_student_head(pretrained, tmp_path):
    trajectory = make_distillation_trainer(pretrained, tmp_path, student_head="independent").trajectory
    trajectory.move_to(0, 0)
    student, learner = weights_of(trajectory.student), weights_of(trajectory.learner)
    assert [k for k, v in student.items() if not torch.equal(v, learner[k])] == ["classifier.weight"]


def test_trajectories_depend_on_seed_and_index_alone(pretrained, tmp_path):
    trajectory = make_distillation_trainer(pretrained, tmp_path).trajectory
    trajectory.move_to(3, 2)
    first = weights_of(trajectory.learner)
    trajectory.move_to(1, 3)
    trajectory.move_to(3, 1)
    trajectory.move_to(3, 2)
    assert_equal(weights_of(trajectory.learner), first)


def test_batches_take_one_row_of_each_cluster(pretrained, tmp_path):
    pool = make_distillation_trainer(pretrained, tmp_path).pool
    pool.refresh(0)
    batch = pool.batch(5)
    assert batch == pool.batch(5)
    assert any(pool.batch(step) != batch for step in range(6, 10))
    for label, rows in batch.items():
        members = [i for i, y in enumerate(pool.labels) if y == label]
        assert len(members) == 16 and set(rows) <= set(members)
        assert sorted(pool.clusters_M[rows]) == sorted(set(pool.clusters_M[members]))


def test_synthetic_rows_are_capped_at_half_of_the_smallest_class(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, synthetic_per_class=40, pool_per_class=64)
    trainer.pool.refresh(0)
    assert all(len(rows) <= 15 for rows in trainer.pool.batch(0).values()), "60 rows, 30 a class"


def test_run_writes_a_whole_directory_without_pickled_arguments(pretrained, tmp_path):
    trainer = make_distillation_trainer(
        pretrained, tmp_path / "run", save_strategy="steps", save_steps=2, max_steps=4, probe_samples=4
    )
    metrics = run_training(trainer, "distill", [trainer.args], task="words")
    assert not math.isnan(metrics["eval_gradient_cosine"])
    assert not list((tmp_path / "run").rglob("training_args.bin"))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    assert {"generator_format.json", "trainer_state.json", "metadata.json"} <= names
    assert not [name for name in names if name.startswith(".")]
    record = json.loads((tmp_path / "run" / "metadata.json").read_text())
    assert record["stage"] == "distill" and record["task"] == "words"
    checkpoint = {path.name for path in (tmp_path / "run" / "checkpoint-4").iterdir()}
    assert {"distillation_state.safetensors", "distillation_state.json"} <= checkpoint


def test_torn_checkpoint_is_an_error(trained, tmp_path):
    trained("run", save_strategy="steps", save_steps=2, max_steps=2)
    (tmp_path / "run" / "checkpoint-2" / "distillation_state.json").unlink()
    with pytest.raises(UserError, match="incomplete"):
        trained("again", resume=str(tmp_path / "run" / "checkpoint-2"))


def test_generator_that_never_ends_its_texts_is_an_error(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, max_sampling_rounds=2)
    with torch.no_grad():
        # Logits are inner products with the embeddings: push away from that of the end token.
        eos = trainer.generator.format.eos
        trainer.model.transformer.ln_f.bias.add_(-50 * trainer.model.lm_head.weight[eos])
    with pytest.raises(UserError, match=r"64 malformed texts of 64.*Such as: \['"):
        trainer.train()


def test_more_accumulation_steps_than_rows_is_an_error(trained):
    with pytest.raises(UserError, match="--gradient_accumulation_steps 20"):
        trained(gradient_accumulation_steps=20)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"inner_steps": 0}, "--inner_steps"),
        ({"normalize_temperature": 0.0}, "--normalize_temperature"),
        ({"ema_decay": 1.0}, "--ema_decay"),
        ({"top_p": 0.0}, "--top_p"),
        ({"pool_per_class": 4}, "--pool_per_class 4"),
        ({"probe_samples": -1}, "--probe_samples"),
        ({"num_train_epochs": 2}, "--num_train_epochs does nothing beside --max_steps 20000"),
    ],
)
def test_impossible_arguments(tmp_path, arguments, named):
    with pytest.raises(UserError, match=named):
        DistillationConfig(output_dir=str(tmp_path), **arguments)


def test_epochs_can_be_pretrained(tmp_path):
    args = GeneratorPretrainingConfig(output_dir=str(tmp_path), max_steps=-1, num_train_epochs=2)
    assert args.num_train_epochs == 2


def test_loss_that_is_not_finite_is_an_error(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path)
    trainer.pool.refresh(0)
    with torch.no_grad():
        trainer.model.transformer.ln_f.weight.fill_(torch.nan)
    with pytest.raises(UserError, match="not finite at step 1"):
        trainer.train()


def test_roberta_type_learner(trained, pretrained, tmp_path):
    from ddg_hf.models.learner import Learner
    from tests import tiny_models

    tokenizer = helpers.make_learner().tokenizer
    learner = Learner(tiny_models.make_roberta_classifier(2, len(tokenizer), pad_token_id=0), tokenizer)
    trainer = make_distillation_trainer(pretrained, tmp_path, learner=learner, max_steps=2)
    trainer.train()
    assert all(0 < line["loss"] < 2 for line in logged(trainer))


test_roberta_type_learner = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")(
    test_roberta_type_learner
)


@pytest.mark.parametrize("student", ["ema", "shared"])
def test_one_update_has_the_gradient_of_the_plain_formulation(pretrained, tmp_path, student):
    """The trainer's whole step against double backward through w, with every learner gradient formed."""
    trainer = make_distillation_trainer(pretrained, tmp_path / "run", student=student, normalize_temperature=0.5)
    trainer.state.global_step = 1  # inner step 1: the moving average differs from the learner
    loss = trainer.training_step(trainer.model, {})
    ours = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}

    trajectory, pool = trainer.trajectory, trainer.pool
    trajectory.move_to(0, 1)

    def head_gradient(learner, rows, labels, weights):
        batch = learner.tokenizer([text for (text,) in rows], padding=True, return_tensors="pt")
        losses = torch.nn.functional.cross_entropy(learner.model.eval()(**batch).logits, labels, reduction="none")
        parameters = list(learner.head.parameters())
        gradients = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        return weights @ torch.stack([torch.cat([g.flatten() for g in each]) for each in gradients])

    real_rows, _ = helpers.make_rows(60, relevant=0.9, seed=2)
    matching = []
    for label, chosen in pool.batch(1).items():
        teacher, weights_R = zip(*[(i, w) for i, y, w in trajectory.teacher_rows() if y == label], strict=True)
        labels = torch.full((len(teacher),), label)
        g_real = head_gradient(trajectory.learner, [real_rows[i] for i in teacher], labels, torch.tensor(weights_R))
        samples = [EncodedText(trainer.generator.format.prefix(label), pool.targets[i]) for i in chosen]
        nll = trainer.model(**trainer.generator.collate(samples))["nll"]
        w = torch.softmax(-nll / 0.5, dim=0)
        rows = [pool.rows[i] for i in chosen]
        g_syn = head_gradient(trajectory.student, rows, torch.full((len(rows),), label), w)
        matching.append(1 - torch.cosine_similarity(g_real, g_syn, dim=0))
    expected_loss = torch.stack(matching).mean()
    assert loss.item() == pytest.approx(expected_loss.item(), abs=1e-5)
    names, parameters = zip(*[(n, p) for n, p in trainer.model.named_parameters() if n in ours], strict=True)
    expected = torch.autograd.grad(expected_loss, parameters)
    difference = torch.cat([(ours[n] - g).flatten() for n, g in zip(names, expected, strict=True)]).norm()
    norm = torch.cat([g.flatten() for g in expected]).norm()
    assert norm > 0
    assert difference / norm < 1e-2  # float32; the closed forms are compared in float64 elsewhere


def test_batch_of_several_rows_per_device_is_an_error(tmp_path):
    with pytest.raises(UserError, match="must be 1"):
        DistillationConfig(output_dir=str(tmp_path), per_device_train_batch_size=4)


def test_half_precision_learner_is_an_error(pretrained, tmp_path):
    learner = helpers.make_learner()
    learner.model.bfloat16()
    with pytest.raises(UserError, match="float32"):
        make_distillation_trainer(pretrained, tmp_path / "run", learner=learner)
