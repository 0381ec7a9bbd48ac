# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Options of the distillation: what is matched, on which labels and teacher sets, and with which other losses."""

import numpy as np
import pytest
import torch

from ddg_hf.data.samplers import epoch_batch
from ddg_hf.errors import UserError
from ddg_hf.models.sequence_format import EncodedText
from ddg_hf.trainer.distillation_config import DistillationConfig
from tests.trainer import helpers
from tests.trainer.helpers import logged, make_distillation_trainer


def one_update(trainer, step: int = 1) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of an update."""
    trainer.state.global_step = step
    loss = trainer.training_step(trainer.model, {}).item()
    gradients = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad()
    return loss, gradients


def plain_update(trainer, step: int, labels: list[int], temperature: float = 1.0):
    """The same by double backward, every row's gradient in the matched parameters formed: `(loss, gradients)`."""
    trajectory, pool, args = trainer.trajectory, trainer.pool, trainer.args
    trajectory.move_to(*divmod(step, args.inner_steps))

    def gradient(learner, rows, label, weights):
        batch = learner.tokenizer([text for (text,) in rows], padding=True, return_tensors="pt")
        logits = learner.model.eval()(**batch).logits
        losses = torch.nn.functional.cross_entropy(logits, torch.full((len(rows),), label), reduction="none")
        parameters = list(learner.parameters_for(args.match_parameters).values())
        each = [torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True) for loss in losses]
        return weights @ torch.stack([torch.cat([g.flatten() for g in gradients]) for gradients in each])

    terms = []
    for label, chosen in pool.batch(step, labels).items():
        teacher, weights = zip(*[(i, w) for i, y, w in trajectory.teacher_rows() if y == label], strict=True)
        rows = [trainer.train_rows[i] for i in teacher]
        g_real = gradient(trajectory.learner, rows, label, torch.tensor(weights))
        samples = [EncodedText(trainer.generator.format.prefix(label), pool.targets[i]) for i in chosen]
        nll = trainer.model(**trainer.generator.collate(samples))["nll"]
        w = torch.softmax(-nll / temperature, dim=0)
        g_syn = gradient(trajectory.student, [pool.rows[i] for i in chosen], label, w)
        terms.append(1 - torch.cosine_similarity(g_real, g_syn, dim=0))
    matching = torch.stack(terms).mean()
    loss = matching
    if args.lm_lambda:
        real = epoch_batch(len(trainer.train_rows), args.lm_batch_size, step, args.seed, "lm")
        samples = [trainer.generator.format.encode(trainer.train_rows[i], trainer.train_labels[i]) for i in real]
        lm = trainer.model(**trainer.generator.collate(samples))["nll"].mean()
        loss = (1 - args.lm_lambda) * matching + args.lm_lambda * lm
    named = [(n, p) for n, p in trainer.model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    return loss.item(), {n: g for (n, _), g in zip(named, gradients, strict=True) if g is not None}


def relative_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    assert set(ours) == set(theirs)
    difference = torch.cat([(ours[n] - theirs[n]).flatten() for n in ours]).norm()
    return (difference / torch.cat([g.flatten() for g in theirs.values()]).norm()).item()


@pytest.mark.parametrize(
    "arguments",
    [
        {"match_parameters": "all"},
        {"match_parameters": "all", "student": "shared"},
        # Small, as the gradient of the language-model loss is about a hundred times that of the matching loss.
        {"lm_lambda": 0.01, "lm_batch_size": 8},
        {"lm_lambda": 0.01, "max_graph_tokens": 0, "tokens_per_micro_batch": 30},
        {"teacher_accumulation": 2},
        {"student_head": "independent"},
        {"labels_per_step": 1},
        {"normalize_temperature": 0.1},
    ],
    ids=str,
)
def test_an_update_is_the_plain_one(pretrained, tmp_path, arguments):
    trainer = make_distillation_trainer(pretrained, tmp_path, **arguments)
    loss, gradients = one_update(trainer)
    labels = sorted(set(trainer._draw(1).labels_S.tolist()))
    expected_loss, expected = plain_update(trainer, 1, labels, trainer.args.normalize_temperature)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    # float32: differences of nearly equal derivatives; float64 in the tests of the mathematics.
    assert relative_difference(gradients, expected) < 1e-2


def test_all_parameters_are_another_objective(pretrained, tmp_path):
    head = one_update(make_distillation_trainer(pretrained, tmp_path / "a"))
    everything = one_update(make_distillation_trainer(pretrained, tmp_path / "b", match_parameters="all"))
    assert head[0] != pytest.approx(everything[0], rel=1e-3)


def test_labels_per_step_takes_all_labels_in_time(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, labels_per_step=1, max_steps=8)
    trainer.train()
    names = trainer.generator.format.label_names
    seen = [[n for n in names if f"label_gradient_cosine/{n}" in line] for line in logged(trainer)]
    assert all(len(s) == 1 for s in seen) and {s[0] for s in seen} == set(names)


def test_lm_loss_is_logged_beside_the_matching_loss(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path, lm_lambda=0.25, max_steps=2)
    trainer.train()
    for line in logged(trainer):
        assert line["loss"] == pytest.approx(0.75 * line["matching_loss"] + 0.25 * line["lm_loss"], rel=1e-4)
        assert line["matching_loss"] == pytest.approx(1 - line["gradient_cosine"], abs=1e-5)


def test_teacher_accumulation_takes_the_next_sets(pretrained, tmp_path):
    one = make_distillation_trainer(pretrained, tmp_path / "a", teacher_sets=4, learner_steps=1).trajectory
    two = make_distillation_trainer(
        pretrained, tmp_path / "b", teacher_sets=4, learner_steps=1, teacher_accumulation=2
    ).trajectory
    single = []
    for position in range(4):
        one.move_to(0, position)
        single.append(one.teacher_rows())
    for position in range(2):
        two.move_to(0, position)
        expected = [(i, y, w / 2) for rows in single[2 * position : 2 * position + 2] for i, y, w in rows]
        assert two.teacher_rows() == expected
    for label in (0, 1):
        assert sum(w for _, y, w in two.teacher_rows() if y == label) == pytest.approx(1)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedule_of_the_learner(pretrained, tmp_path, schedule):
    trainer = make_distillation_trainer(pretrained, tmp_path, learner_lr_scheduler_type=schedule)
    rates = []
    for position in range(4):
        trainer.trajectory.move_to(0, position)
        rates.append(trainer.trajectory.optimizer.param_groups[0]["lr"] / trainer.args.learner_learning_rate)
    expected = {
        "constant": [1, 1, 1, 1],
        "linear": [1, 0.75, 0.5, 0.25],
        "cosine": [0.5 * (1 + np.cos(np.pi * k / 4)) for k in range(4)],
    }
    assert rates == pytest.approx(expected[schedule])


def test_warmup_of_the_learner(pretrained, tmp_path):
    """8 updates, the first 4 of them warm-up: DiLM's setting."""
    arguments = {"learner_lr_scheduler_type": "cosine", "learner_warmup_ratio": 0.5}
    trainer = make_distillation_trainer(pretrained, tmp_path, **arguments)
    rates = []
    for position in range(4):
        trainer.trajectory.move_to(0, position)
        rates.append(trainer.trajectory.optimizer.param_groups[0]["lr"] / trainer.args.learner_learning_rate)
    assert rates == pytest.approx([0, 0.5, 1, 0.5])


def test_learner_schedule_survives_a_resume(pretrained, tmp_path):
    common = {"learner_lr_scheduler_type": "linear", "save_strategy": "steps", "save_steps": 3}
    straight = make_distillation_trainer(pretrained, tmp_path / "a", **common)
    straight.train()
    resumed = make_distillation_trainer(pretrained, tmp_path / "b", **common)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    helpers.assert_equal(helpers.weights(resumed), helpers.weights(straight))
    assert logged(resumed) == logged(straight)


def test_reset_puts_the_pretrained_encoder_back(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path)
    trajectory = trainer.trajectory
    before = {k: v.clone() for k, v in trajectory.learner.model.base_model.state_dict().items()}
    trajectory.move_to(0, 3)
    moved = trajectory.learner.model.base_model.state_dict()
    assert not torch.equal(moved["pooler.dense.weight"], before["pooler.dense.weight"])
    trajectory.move_to(1, 0)
    helpers.assert_equal(trajectory.learner.model.base_model.state_dict(), before)
    helpers.assert_equal(trajectory.student.model.base_model.state_dict(), before)


def test_dropout_of_the_learner_is_off_while_gradients_are_taken(pretrained, tmp_path):
    learner = helpers.make_learner(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    trainer = make_distillation_trainer(pretrained, tmp_path, learner=learner, inner_steps=10)
    trainer.trajectory.move_to(0, 2)  # leaves the learner in training mode
    trainer.state.global_step = 2
    first = trainer.training_step(trainer.model, {}).item()
    torch.manual_seed(123)
    assert trainer.training_step(trainer.model, {}).item() == first


def test_gradients_are_clipped(pretrained, tmp_path):
    """SGD: the change of the weights is the learning rate times the clipped norm."""
    common = {"optim": "sgd", "learning_rate": 1.0, "max_steps": 1}
    norms = {}
    for limit in (1e-4, 1e-5):
        trainer = make_distillation_trainer(pretrained, tmp_path / str(limit), max_grad_norm=limit, **common)
        before = helpers.weights(trainer)
        trainer.train()
        change = torch.cat([(v - before[n]).flatten() for n, v in trainer.model.named_parameters()])
        norms[limit] = change.norm().item()
        assert logged(trainer)[0]["grad_norm"] > limit
    assert norms[1e-4] == pytest.approx(1e-4, rel=0.05) and norms[1e-5] == pytest.approx(1e-5, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"lm_lambda": 1.0}, "--lm_lambda"),
        ({"learner_warmup_ratio": 1.0}, "--learner_warmup_ratio"),
        ({"teacher_accumulation": 11}, "--teacher_accumulation 11"),
        ({"labels_per_step": 0}, "--labels_per_step"),
        ({"trajectory_dir": "somewhere"}, "--num_trajectories"),
        ({"num_trajectories": -1}, "--num_trajectories"),
        (
            {
                "load_best_model_at_end": True,
                "metric_for_best_model": "learner_accuracy",
                "eval_strategy": "steps",
                "eval_steps": 2,
                "save_steps": 2,
            },
            "--validation_sets",
        ),
    ],
    ids=str,
)
def test_impossible_arguments(tmp_path, arguments, named):
    with pytest.raises(UserError, match=named):
        DistillationConfig(output_dir=str(tmp_path), **arguments)


def test_more_labels_per_step_than_labels_is_an_error(pretrained, tmp_path):
    with pytest.raises(UserError, match="--labels_per_step 3 is more than the 2 labels"):
        make_distillation_trainer(pretrained, tmp_path, labels_per_step=3)


def test_gradient_that_is_not_finite_stops_before_the_weights_are_spoilt(pretrained, tmp_path, monkeypatch):
    trainer = make_distillation_trainer(pretrained, tmp_path, save_strategy="steps", save_steps=1)
    objective = trainer._objective

    def spoilt(*args):
        loss, coefficients = objective(*args)
        return loss, coefficients * (torch.nan if trainer.state.global_step == 2 else 1)

    monkeypatch.setattr(trainer, "_objective", spoilt)
    with pytest.raises(UserError, match="gradient is not finite at step 3"):
        trainer.train()
    assert all(torch.isfinite(v).all() for v in trainer.model.state_dict().values())
    assert (tmp_path / "checkpoint-2").is_dir()


def test_loss_that_is_not_finite_names_step_and_row(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path)
    trainer.pool.refresh(0)
    with torch.no_grad():
        trainer.model.transformer.ln_f.weight.fill_(torch.nan)
    with pytest.raises(UserError, match=r"loss of 16 of 16 rows of the batch, such as '.+', is not finite at step 1"):
        trainer.train()


def test_zero_gradient_names_label_and_step(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path)
    trainer.trajectory.teacher_gradient = lambda label: torch.zeros(66)
    with pytest.raises(UserError, match="label 'negative' at step 1: the teacher gradient is zero"):
        trainer.train()


def test_learner_that_has_diverged_is_named(pretrained, tmp_path):
    trainer = make_distillation_trainer(pretrained, tmp_path)
    trainer.trajectory.teacher_gradient = lambda label: torch.full((66,), torch.nan)
    with pytest.raises(UserError, match="matching loss is not finite at step 1: the learner has diverged"):
        trainer.train()


def test_malformed_texts_are_replaced_by_a_chunk_not_by_a_pool(pretrained, tmp_path, monkeypatch):
    trainer = make_distillation_trainer(pretrained, tmp_path, pool_per_class=100)
    asked = []
    sample = trainer.pool.sample

    def one_is_malformed(number, *seed_parts, labels):
        asked.append((number, labels))
        targets = sample(number, *seed_parts, labels=labels)
        if len(asked) == 1:
            targets[1][0] = []
        return targets

    monkeypatch.setattr(trainer.pool, "sample", one_is_malformed)
    trainer.pool.refresh(0)
    assert asked[0] == (100, [0, 1]) and asked[1:] == [(16, [1])]
    assert [trainer.pool.labels.count(y) for y in (0, 1)] == [100, 100]
