# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The weighted language-model loss against the plain double-backward formulation, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad

from ddg_hf.losses.gradient_matching import (
    directional_derivatives,
    effective_sample_size,
    head_gradient,
    matching_loss,
    surrogate_coefficients,
    synthetic_weights,
    with_language_model_loss,
)
from ddg_hf.models.nll import IGNORE, add_per_sample_nll
from ddg_hf.models.row_gradients import RowGradients
from tests import tiny_models
from tests.models.classifiers import make_learner

NUM_LABELS = 3
ROWS_PER_LABEL = 4


def make_generator():
    return tiny_models.make_gpt2(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager").double()


def generator_batch(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random token sequences of unequal lengths, padded on the right; the first token is a prefix without loss."""
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (NUM_LABELS * ROWS_PER_LABEL,), generator=rng)
    input_ids = torch.randint(4, tiny_models.DEFAULT_VOCAB_SIZE, (len(lengths), 9), generator=rng)
    inside = torch.arange(9) < lengths.unsqueeze(1)
    nll_labels = torch.where(inside, input_ids, IGNORE)
    nll_labels[:, 0] = IGNORE
    return {"input_ids": input_ids, "attention_mask": inside.long(), "nll_labels": nll_labels}


def plain_nll(model, batch) -> torch.Tensor:
    """Mean cross-entropy of each row's own tokens, from the model's logits."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.stack(
        [
            F.cross_entropy(row[:-1], target[1:], ignore_index=IGNORE)
            for row, target in zip(logits, batch["nll_labels"], strict=True)
        ]
    )


def plain_gradient(learner, parameters: str, rows, labels, weights) -> torch.Tensor:
    """Gradient of a weighted loss: in all parameters of the classifier, padded to the longest row; then the part."""
    batch = learner.tokenizer.pad(dict(learner.encode(rows)), return_tensors="pt")

    def loss(tensors):
        logits = functional_call(learner.model, tensors, kwargs=dict(batch)).logits
        return (weights * F.cross_entropy(logits, labels, reduction="none")).sum()

    gradients = grad(loss)({name: value.detach() for name, value in learner.model.named_parameters()})
    return torch.cat([gradients[name].flatten() for name in learner.parameters_for(parameters)])


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


CASES = [
    *[("bert", "head", student, temperature) for student in ("shared", "ema") for temperature in (1.0, 0.3)],
    *[("bert", "all", "ema", 1.0), ("bert", "all", "shared", 0.3)],
    *[
        (kind, parameters, "ema", 0.3)
        for kind in ("roberta", "distilbert", "modernbert", "gpt2", "qwen2")
        for parameters in ("head", "all")
    ],
]


@pytest.mark.parametrize(("kind", "parameters", "student", "temperature"), CASES)
def test_surrogate_has_the_gradient_of_the_matching_loss(kind, parameters, student, temperature):
    generator = make_generator()
    # Eager attention: SDPA has no double backward.
    teacher_learner = make_learner(kind, NUM_LABELS, seed=0, attn_implementation="eager")
    student_learner = teacher_learner
    if student == "ema":
        student_learner = make_learner(kind, NUM_LABELS, seed=5, attn_implementation="eager")
    teacher_learner.model.double(), student_learner.model.double()
    batch = generator_batch()
    sentences = tiny_models.SENTENCES
    synthetic = [(sentences[i % len(sentences)],) for i in range(NUM_LABELS * ROWS_PER_LABEL)]
    labels = torch.arange(NUM_LABELS).repeat_interleave(ROWS_PER_LABEL)
    real = {y: [(sentences[(5 * y + j + 1) % len(sentences)],) for j in range(3)] for y in range(NUM_LABELS)}
    third = torch.full((3,), 1 / 3, dtype=torch.float64)

    # The plain formulation: double backward through the learner.
    nll = plain_nll(generator, batch)
    losses = []
    for y in range(NUM_LABELS):
        here = labels == y
        g_real = plain_gradient(teacher_learner, parameters, real[y], torch.full((3,), y), third)
        rows, weights = synthetic[y * ROWS_PER_LABEL :][:ROWS_PER_LABEL], (-nll[here] / temperature).softmax(dim=0)
        g_syn = plain_gradient(student_learner, parameters, rows, labels[here], weights)
        losses.append(1 - F.cosine_similarity(g_real, g_syn, dim=0))
    plain_loss = torch.stack(losses).mean()
    plain_coefficients, *truth = torch.autograd.grad(plain_loss, [nll, *generator.parameters()])

    # The fast path.
    add_per_sample_nll(generator)
    nll = generator(**batch)["nll"]
    source = RowGradients(student_learner, student_learner.encode(synthetic), range(12), labels, parameters, 50)
    coefficients = torch.zeros_like(nll)
    losses = []
    for y in range(NUM_LABELS):
        here = (labels == y).nonzero().flatten()
        of_real = RowGradients(
            teacher_learner, teacher_learner.encode(real[y]), range(3), torch.full((3,), y), parameters, 50
        )
        weights = synthetic_weights(nll[here], temperature)
        loss, direction = matching_loss(of_real.gradient(torch.arange(3), third), source.gradient(here, weights))
        derivatives = source.derivatives(here, direction / NUM_LABELS)
        coefficients[here] = surrogate_coefficients(weights, derivatives, temperature).to(coefficients.dtype)
        losses.append(loss)
    fast = torch.autograd.grad((coefficients * nll).sum(), list(generator.parameters()))

    assert torch.stack(losses).mean().item() == pytest.approx(plain_loss.item(), rel=1e-6)
    assert relative(coefficients, plain_coefficients) <= 1e-6
    names = [name for name, _ in generator.named_parameters()]
    norm = torch.cat([t.flatten() for t in truth]).norm()
    assert norm > 1e-6, "a zero gradient would show nothing"
    for name, ours, theirs in zip(names, fast, truth, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm() + 1e-9 * norm, name


@pytest.fixture(params=["with bias", "without bias"])
def head_case(request):
    """A head, features, labels and weights in float64."""
    torch.manual_seed(3)
    head = torch.nn.Linear(6, NUM_LABELS, bias=request.param == "with bias").double()
    features = torch.randn(7, 6, dtype=torch.float64)
    return head, features, torch.tensor([0, 1, 2, 2, 1, 0, 1]), torch.rand(7, dtype=torch.float64)


def gradients_by_loop(head, features, labels) -> torch.Tensor:
    rows = []
    for feature, label in zip(features, labels, strict=True):
        loss = F.cross_entropy(head(feature.unsqueeze(0)), label.unsqueeze(0))
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(head.parameters()))]))
    return torch.stack(rows)


def test_head_gradient_is_the_weighted_sum_of_per_sample_gradients(head_case):
    head, features, labels, weights = head_case
    expected = weights @ gradients_by_loop(head, features, labels)
    result = head_gradient(head, features, labels, weights)
    torch.testing.assert_close(result, expected)
    assert not result.requires_grad


def test_directional_derivatives_are_inner_products(head_case):
    head, features, labels, _ = head_case
    direction = torch.randn(sum(p.numel() for p in head.parameters()), dtype=torch.float64)
    expected = gradients_by_loop(head, features, labels) @ direction
    result = directional_derivatives(head, features, labels, direction)
    torch.testing.assert_close(result, expected)
    assert not result.requires_grad


def test_invariants(head_case):
    head, features, _, _ = head_case
    labels = torch.ones(7, dtype=torch.long)
    nll = torch.rand(7, dtype=torch.float64) * 3
    weights = synthetic_weights(nll, temperature=0.7)
    g_syn = head_gradient(head, features, labels, weights)
    _, direction = matching_loss(torch.randn_like(g_syn), g_syn)
    derivatives = directional_derivatives(head, features, labels, direction)
    coefficients = surrogate_coefficients(weights, derivatives, temperature=0.7)
    scale = derivatives.abs().max()
    assert scale > 0
    assert abs((weights * derivatives).sum()) < 1e-12 * scale
    assert abs(coefficients.sum()) < 1e-12 * scale


def test_coefficients_of_a_share_of_the_rows_take_the_joint_mean():
    weights, derivatives = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([1.0, -2.0, 0.5])
    joint = surrogate_coefficients(weights, derivatives, 2.0)
    mean = (weights * derivatives).sum()
    shares = [surrogate_coefficients(weights[s], derivatives[s], 2.0, mean) for s in (slice(0, 1), slice(1, 3))]
    torch.testing.assert_close(torch.cat(shares), joint)


def test_coefficients_are_the_derivative_of_the_weighted_sum():
    nll = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    derivatives = torch.tensor([0.4, -1.0, 2.0], dtype=torch.float64)
    ((-nll / 0.6).softmax(dim=0) * derivatives).sum().backward()
    torch.testing.assert_close(surrogate_coefficients(synthetic_weights(nll, 0.6), derivatives, 0.6), nll.grad)


def test_synthetic_weights_are_detached_and_sum_to_one():
    nll = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    weights = synthetic_weights(nll, temperature=2.0)
    assert not weights.requires_grad
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))
    torch.testing.assert_close(weights[0] / weights[2], torch.tensor(1.5).exp())


def test_matching_loss_and_its_direction_equal_autograd():
    torch.manual_seed(0)
    g_real = torch.randn(11, dtype=torch.float64)
    g_syn = torch.randn(11, dtype=torch.float64, requires_grad=True)
    truth = 1 - F.cosine_similarity(g_real, g_syn, dim=0)
    truth.backward()
    loss, direction = matching_loss(g_real, g_syn.detach())
    torch.testing.assert_close(loss, truth.detach())
    torch.testing.assert_close(direction, g_syn.grad)


def test_equal_gradients_have_loss_zero():
    g = torch.tensor([1.0, -2.0, 3.0])
    loss, direction = matching_loss(2 * g, g)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert direction.norm().item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("real", "synthetic", "named"), [(0.0, 1.0, "teacher"), (1.0, 0.0, "synthetic")])
def test_zero_gradient_raises(real, synthetic, named):
    with pytest.raises(ValueError, match=named):
        matching_loss(torch.full((3,), real), torch.full((3,), synthetic))


def test_effective_sample_size():
    assert effective_sample_size(torch.full((8,), 1 / 8)).item() == pytest.approx(8)
    assert effective_sample_size(torch.tensor([1.0, 0.0, 0.0])).item() == pytest.approx(1)


def test_language_model_loss_is_mixed_in():
    rng = torch.Generator().manual_seed(0)
    nll = torch.rand(7, generator=rng, dtype=torch.float64, requires_grad=True)
    matching = (nll[:4].square() * torch.arange(4)).sum()
    truth = 0.7 * matching + 0.3 * nll[4:].mean()
    (coefficients,) = torch.autograd.grad(matching, nll, retain_graph=True)
    loss, mixed = with_language_model_loss(matching.detach(), coefficients[:4], nll[4:].detach(), 0.3)
    torch.testing.assert_close(loss, truth.detach())
    torch.testing.assert_close(mixed, torch.autograd.grad(truth, nll)[0])
