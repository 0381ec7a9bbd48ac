# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Weighted gradients and directional derivatives against autograd row by row, in float64."""

import pytest
import torch
import torch.nn.functional as F

from ddg_hf.data.samplers import length_sorted_batches
from ddg_hf.models.learner import Learner
from ddg_hf.models.row_gradients import RowGradients
from tests import tiny_models
from tests.models.classifiers import KINDS, LINEAR, make_learner

NUM_LABELS = 3
ROWS = [(text,) for text in tiny_models.SENTENCES[:6]] + [("dull",), ("",), (" ".join(tiny_models.SENTENCES[:2]),)]
PAIRS = [
    (a, b[: 5 + 7 * i])
    for i, (a, b) in enumerate(zip(tiny_models.SENTENCES[:6], tiny_models.SENTENCES[3:9], strict=True))
]
INDEX = [3, 0, 8, 7, 5, 6, 0]  # a row may come twice
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 1])
CASES = [(kind, which) for kind in KINDS for which in ("head", "all")]


@pytest.fixture
def no_float32(monkeypatch):
    """transformers computes rotary embeddings in float32 whatever the type of the model, by `Tensor.float`."""
    float32 = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.dtype == torch.float64 else float32(x))


def exact(learner: Learner) -> Learner:
    """In float64, with torch's RMS norms: those of transformers compute in float32 whatever the type of the model."""
    for module in list(learner.model.modules()):
        for name, child in module.named_children():
            if type(child).__name__ in ("LlamaRMSNorm", "Qwen2RMSNorm"):
                norm = torch.nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)
    learner.model.double()
    return learner


def row_gradients(learner: Learner, rows, labels, parameters: str) -> torch.Tensor:
    """The gradient of each row's loss, `[N, P]`, by autograd one by one, unpadded."""
    chosen, result = list(learner.parameters_for(parameters).values()), []
    learner.model.eval()
    encoded = learner.encode(rows)
    for i, label in enumerate(labels):
        batch = {key: torch.tensor([values[i]]) for key, values in encoded.items()}
        loss = F.cross_entropy(learner.model(**batch).logits, label.unsqueeze(0))
        gradients = torch.autograd.grad(loss, chosen, allow_unused=True)
        pairs = zip(gradients, chosen, strict=True)
        result.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs]))
    return torch.stack(result)


def relative(ours: torch.Tensor, truth: torch.Tensor) -> float:
    assert ours.shape == truth.shape and truth.norm() > 0
    return ((ours - truth).norm() / truth.norm()).item()


def random_direction(size: int) -> torch.Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def assert_equals_autograd(learner: Learner, rows, parameters: str, token_budget: int = 60) -> RowGradients:
    truth = row_gradients(learner, [rows[i] for i in INDEX], LABELS, parameters)
    ours = RowGradients(learner, learner.encode(rows), INDEX, LABELS, parameters, token_budget)
    assert ours.size == truth.shape[1]
    chosen, weights = torch.tensor([5, 0, 1, 2, 4]), torch.tensor([0.3, -1.0, 2.0, 0.0, 0.7], dtype=torch.float64)
    assert relative(ours.gradient(chosen, weights), weights @ truth[chosen]) <= 1e-9
    direction = random_direction(ours.size)
    derivatives = ours.derivatives(chosen, direction)
    assert relative(derivatives, truth[chosen] @ direction) <= 1e-9
    everything = torch.arange(len(INDEX))
    assert relative(ours.derivatives(everything, direction), truth @ direction) <= 1e-9
    assert relative(ours.gradient(everything, weights.new_ones(len(INDEX))), truth.sum(0)) <= 1e-9
    assert not derivatives.requires_grad
    return ours


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_equal_to_autograd_row_by_row(kind, parameters, no_float32):
    learner = exact(make_learner(kind))
    assert_equals_autograd(learner, ROWS, parameters)
    assert (learner.linear_head is not None) == (kind in LINEAR), "the closed form is used where there is one"


@pytest.mark.parametrize("parameters", ["head", "all"])
@pytest.mark.parametrize("kind", ["bert", "modernbert", "gpt2"])
def test_pairs_of_texts(kind, parameters, no_float32):
    rows = [PAIRS[i % len(PAIRS)] for i in range(len(ROWS))]
    learner = exact(make_learner(kind))
    assert len(learner.encode(rows)["input_ids"][0]) > len(learner.encode([row[:1] for row in rows])["input_ids"][0])
    assert_equals_autograd(learner, rows, parameters)


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_every_attention_implementation_has_derivatives(implementation):
    learner = exact(make_learner("bert", attn_implementation="eager"))
    truth = row_gradients(learner, [ROWS[i] for i in INDEX], LABELS, "all")
    learner.model.set_attn_implementation(implementation)
    ours = RowGradients(learner, learner.encode(ROWS), INDEX, LABELS, "all")
    direction = random_direction(ours.size)
    assert relative(ours.derivatives(torch.arange(7), direction), truth @ direction) <= 1e-9
    assert learner.model.config._attn_implementation == implementation, "it is put back"


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_token_budget_changes_the_order_of_sums_alone(kind, parameters):
    learner = make_learner(kind)
    learner.model.double()
    encoded, rows, weights = learner.encode(ROWS), torch.arange(7), torch.rand(7, dtype=torch.float64)
    whole = RowGradients(learner, encoded, INDEX, LABELS, parameters, token_budget=100_000)
    direction = random_direction(whole.size)
    for budget in (1, 50):
        ours = RowGradients(learner, encoded, INDEX, LABELS, parameters, budget)
        # float32 parts of transformers' code (see `exact`) leave more rounding than float64
        assert relative(ours.gradient(rows, weights), whole.gradient(rows, weights)) <= 1e-6
        assert relative(ours.derivatives(rows, direction), whole.derivatives(rows, direction)) <= 1e-6


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_the_learner_is_left_as_it_was(kind, parameters):
    learner = make_learner(kind)
    modules, parameters_of_model = list(learner.model.modules()), list(learner.model.parameters())
    expected = measure(learner, parameters)
    learner.model.train()
    batch = learner.tokenizer(ROWS[0][0], return_tensors="pt")
    assert not torch.equal(learner.model(**batch).logits, learner.model(**batch).logits), "there is dropout"
    learner.base.eval()
    next(m for m in learner.base.modules() if isinstance(m, torch.nn.Linear) or "Conv1D" in str(type(m))).train()
    parameters_of_model[0].requires_grad_(False)
    parameters_of_model[1].grad = torch.full_like(parameters_of_model[1], 5.0)
    modes, frozen = [m.training for m in modules], [p.requires_grad for p in parameters_of_model]
    state, weights = torch.get_rng_state(), [p.detach().clone() for p in parameters_of_model]
    for ours, theirs in zip(measure(learner, parameters), expected, strict=True):
        assert torch.equal(ours, theirs), "dropout and modes make no difference"
    assert [m.training for m in modules] == modes
    assert [p.requires_grad for p in parameters_of_model] == frozen
    assert [p.grad is None for p in parameters_of_model] == [i != 1 for i in range(len(parameters_of_model))]
    assert (parameters_of_model[1].grad == 5).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(parameters_of_model, weights, strict=True))
    assert "forward" not in learner.base.__dict__


def measure(learner: Learner, parameters: str) -> tuple[torch.Tensor, torch.Tensor]:
    source = RowGradients(learner, learner.encode(ROWS), INDEX, LABELS, parameters)
    gradient = source.gradient(torch.arange(7), torch.ones(7))
    return gradient, source.derivatives(torch.arange(7), gradient)


@pytest.mark.parametrize(("kind", "parameters"), [("bert", "head"), ("roberta", "head"), ("bert", "all")])
def test_no_rows(kind, parameters):
    learner = make_learner(kind)
    none = torch.tensor([], dtype=torch.long)
    for index, labels in ((INDEX, LABELS), ([], none)):
        source = RowGradients(learner, learner.encode(ROWS), index, labels, parameters)
        assert torch.equal(source.gradient(none, torch.tensor([])), torch.zeros(source.size))
        assert source.derivatives(none, torch.ones(source.size)).shape == (0,)


@pytest.mark.parametrize("parameters", ["head", "all"])
def test_parameters_without_influence_have_gradient_zero(parameters):
    model = make_learner("bert").model
    model.register_module("unused", torch.nn.Linear(2, 3))
    learner = exact(Learner(model, make_learner("bert").tokenizer))
    source = assert_equals_autograd(learner, ROWS, parameters)
    only_unused = torch.zeros(source.size, dtype=torch.float64)
    only_unused[-9:] = 1
    assert list(learner.parameters_for(parameters))[-2:] == ["unused.weight", "unused.bias"]
    assert not source.gradient(torch.arange(7), torch.ones(7))[-9:].any()
    assert not source.derivatives(torch.arange(7), only_unused).any()


@pytest.mark.parametrize(
    ("kind", "head", "count"),
    [
        ("bert", ["bert.pooler", "classifier"], 4),
        ("distilbert", ["classifier"], 2),
        ("distilbert", ["pre_classifier"], 2),
        ("roberta", ["classifier"], 4),
        ("gpt2", ["transformer.ln_f", "score"], 3),
    ],
)
def test_heads_that_are_named(kind, head, count):
    learner = exact(make_learner(kind, head=head))
    assert len(learner.head_parameters()) == count
    assert_equals_autograd(learner, ROWS, "head")


@pytest.mark.parametrize("parameters", ["head", "all"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_memory_is_bounded_by_micro_batches(kind, parameters, monkeypatch):
    monkeypatch.setattr("ddg_hf.models.row_gradients.MIN_GRAPH_TOKENS", 100)
    learner, budget = make_learner(kind), 400
    index = [i % len(ROWS) for i in range(200)]
    source = RowGradients(learner, learner.encode(ROWS), index, torch.arange(200) % 3, parameters, budget)
    sizes = []

    def note(module, args, kwargs):
        sizes.append((args[0] if args else kwargs["input_ids"]).numel())

    learner.base.register_forward_pre_hook(note, with_kwargs=True)
    learner.model.register_forward_pre_hook(note, with_kwargs=True)
    source.gradient(torch.arange(200), torch.ones(200))
    assert len(sizes) > 4 and max(sizes) <= (100 if parameters == "all" else budget)
    sizes.clear()
    source.derivatives(torch.arange(200), torch.ones(source.size))
    assert max(sizes, default=0) <= budget


@pytest.mark.parametrize(("kind", "passes"), [("bert", 1), ("roberta", 2), ("distilbert", 2)])
def test_the_base_model_runs_once_for_a_gradient_and_its_derivatives(kind, passes):
    """Once for all labels with a linear head, else once for each label."""
    learner = make_learner(kind)
    assert (learner.linear_head is not None) == (kind == "bert")  # looks at a row of its own
    calls = []
    module = next(m for m in learner.base.modules() if "Layer" in type(m).__name__ or "Block" in type(m).__name__)
    module.register_forward_hook(lambda *_: calls.append(1))
    source = RowGradients(learner, learner.encode(ROWS), INDEX, LABELS)
    for label in (0, 1):
        rows = (LABELS == label).nonzero().flatten()
        source.derivatives(rows, source.gradient(rows, torch.ones(len(rows))))
    assert len(calls) == passes


def test_base_outputs_of_many_rows_are_not_held(monkeypatch):
    monkeypatch.setattr("ddg_hf.models.row_gradients.HELD_TOKENS", 100)
    learner = exact(make_learner("roberta"))
    source = assert_equals_autograd(learner, ROWS, "head", token_budget=60)
    assert source._held is None
    lengths = [len(ids) for ids in source.encoded["input_ids"]]
    assert len(length_sorted_batches([lengths[i] for i in INDEX], 60)) > 2


def test_low_precision_learners():
    learner = make_learner("roberta")
    learner.model.bfloat16()
    gradient, derivatives = measure(learner, "head")
    assert gradient.dtype == torch.bfloat16 and derivatives.isfinite().all()
    assert relative(derivatives.sum(), gradient.square().sum()) < 0.05


def test_unknown_parameters_raise():
    with pytest.raises(ValueError, match="'head' or 'all', got 'body'"):
        RowGradients(make_learner("bert"), {}, [], LABELS, "body")
