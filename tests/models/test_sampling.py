# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Nucleus sampling without sorting, and the loop that drops finished rows."""

import pytest
import torch
from scipy.stats import chisquare
from transformers import MambaConfig, MambaForCausalLM
from transformers.generation.logits_process import TopPLogitsWarper

from ddg_hf.configs import GeneratorArguments
from ddg_hf.errors import UserError
from ddg_hf.models import sampling
from ddg_hf.models.generator import Generator, chunk_size
from ddg_hf.models.sampling import sample_rows, sample_top_p
from tests import tiny_models
from tests.models.helpers import PAIR, SINGLE, SINGLE_ROWS, make_generator, save_base

ARCHITECTURES = ["gpt2", "llama", "qwen2", "gemma3"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warped(logits_V: torch.Tensor, top_p: float, temperature: float = 1.0) -> torch.Tensor:
    """
    Logits outside the nucleus set to -inf by transformers, in float64.

    Which of several equal logits at the border it keeps is left to an unstable sort; here they are the last ones.
    """
    scores = logits_V.double()[None] / temperature
    if top_p == 1:
        return scores[0]
    scores = TopPLogitsWarper(top_p)(None, scores)[0]
    border = scores[scores > -torch.inf].min()
    number = int((scores == border).sum())
    equal = (logits_V.double() / temperature == border).nonzero().squeeze(1)
    return scores.index_fill(0, equal, -torch.inf).index_fill(0, equal[-number:], border)


def assert_drawn_from(counts_K: torch.Tensor, probabilities_K: torch.Tensor) -> None:
    """A chi-square test of the frequencies, rare outcomes pooled; nothing of probability zero occurs."""
    assert not counts_K[probabilities_K == 0].any(), "outside the support"
    expected = probabilities_K.double() * counts_K.sum()
    frequent = expected >= 10
    assert (counts_K[frequent] > 0).all(), "a part of the support is never drawn"
    pool = torch.tensor([(~frequent * expected).sum() + 1e-9, 1e-9])
    observed = torch.cat([counts_K[frequent].double(), counts_K[~frequent].sum()[None].double()])
    expected = torch.cat([expected[frequent], pool[:1]])
    kept = expected >= 5
    assert kept.sum() >= 2 or observed[~kept].sum() <= 20
    if kept.sum() >= 2:
        observed, expected = observed[kept], expected[kept]
        assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


def zipf(size: int) -> torch.Tensor:
    return -torch.arange(1, size + 1).float().log()[torch.randperm(size, generator=seeded(1))]


SHAPES = {
    "uniform": torch.zeros(301),
    "zipf": 1.2 * zipf(1000),
    "normal": torch.randn(500, generator=seeded(2)) * 2,
    "peaked": torch.cat([torch.tensor([9.0]), torch.randn(200, generator=seeded(3))]),
    "ties": torch.randn(400, generator=seeded(4)).round(),
    "banned": torch.randn(100, generator=seeded(5)).index_fill(0, torch.arange(0, 100, 3), -torch.inf),
    "last block short": torch.randn(17, generator=seeded(6)),
    "two tokens": torch.tensor([0.3, -0.3]),
    "one token": torch.tensor([1.0]),
    "bfloat16": (torch.randn(600, generator=seeded(7)) * 1.5).bfloat16(),
}


@pytest.mark.parametrize(
    ("top_p", "temperature", "max_draws"),
    [(0.953, 1.0, 8), (0.953, 0.6, 1), (0.4, 1.7, 8), (0.07, 1.0, 8), (0.4, 0.6, 0), (1.0, 1.7, 8)],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_draws_follow_the_nucleus(shape, top_p, temperature, max_draws, monkeypatch):
    """By drawing, by drawing and sorting, and by sorting alone."""
    monkeypatch.setattr(sampling, "MAX_DRAWS", max_draws)
    logits = SHAPES[shape]
    ids = sample_top_p(logits.expand(4_000, -1), top_p, temperature, seeded())
    assert ids.shape == (4_000,) and ids.dtype == torch.int64
    assert_drawn_from(ids.bincount(minlength=len(logits)), warped(logits, top_p, temperature).softmax(-1))


@pytest.mark.parametrize("top_p", [0.953, 0.4, 0.07, 1e-6])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_support_is_the_nucleus(shape, top_p):
    """Token by token, equal logits at the border included."""
    scores = SHAPES[shape].float().expand(len(SHAPES[shape]), -1)
    weights = scores.softmax(-1)
    expected = warped(SHAPES[shape], top_p) > -torch.inf
    assert expected.any()
    inside = sampling._in_nucleus(scores, weights, torch.arange(len(scores)), top_p)
    possible = scores[0] > -torch.inf
    assert torch.equal(inside & possible, expected)
    assert torch.equal(sampling._nucleus_weights(scores[:1], weights[:1], top_p)[0] > 0, expected)


def test_rows_have_distributions_of_their_own():
    shapes = ("zipf", "uniform", "peaked")
    logits = torch.full((3, 1000), -torch.inf)
    for row, shape in enumerate(shapes):
        logits[row, : len(SHAPES[shape])] = SHAPES[shape]
    generator, counts = seeded(), torch.zeros(3, 1000, dtype=torch.long)
    for _ in range(50):
        ids = sample_top_p(logits.repeat(100, 1), 0.8, 1.0, generator).view(100, 3)
        for row in range(3):
            counts[row] += ids[:, row].bincount(minlength=1000)
    for row in range(3):
        assert_drawn_from(counts[row], warped(logits[row], 0.8).softmax(-1))


def test_small_probabilities_of_a_large_vocabulary_are_kept():
    """A running sum in float32 stays at the first token's: each of the others is less than half a unit of it."""
    weights = torch.full((1, 100_001), 2e-8)
    weights[0, 0] = 0.998
    sums = sampling._block_sums(weights)
    ids = sampling._draw(weights.expand(30_000, -1), sums.expand(30_000, -1), seeded())
    first, low, high = (ids == 0).sum(), ((ids > 0) & (ids <= 50_000)).sum(), (ids > 50_000).sum()
    assert_drawn_from(torch.stack([first, low, high]), torch.tensor([0.998, 0.001, 0.001]))
    assert len(ids[ids > 0].unique()) > 0.95 * (ids > 0).sum()


@pytest.mark.parametrize("top_p", [0.953, 0.4])
def test_bfloat16_logits_are_drawn_from_in_float32(top_p):
    logits = SHAPES["normal"].bfloat16().expand(2_000, -1)
    expected = sample_top_p(logits.float(), top_p, 1.3, seeded())
    assert torch.equal(sample_top_p(logits, top_p, 1.3, seeded()), expected)


def test_logits_are_not_changed():
    logits = SHAPES["normal"].repeat(4, 1)
    before = logits.clone()
    sample_top_p(logits, 0.5, 0.5, seeded())
    assert torch.equal(logits, before)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_an_error(value):
    logits = torch.zeros(3, 50)
    logits[1, 7] = value
    with pytest.raises(UserError, match="not finite") as error:
        sample_top_p(logits, 0.9, 1.0, seeded())
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="not finite"):
        sample_top_p(torch.full((2, 5), -torch.inf), 0.9, 1.0, seeded())


# ---- the loop ----

PREFIX, BANNED, NEW = [7, 5], [1, 11, 12], 30


def build(architecture: str, vocab_size: int = 64):
    """A model with weights large enough that what it writes depends on what was written."""
    # With tied embeddings Gemma, which scales its input, repeats it.
    untied = {"tie_word_embeddings": False} if architecture == "gemma3" else {}
    return tiny_models.CAUSAL_BUILDERS[architecture](vocab_size, initializer_range=0.5, **untied)


def greedy(
    model, prefix_BL: torch.Tensor, eos_id: int | None, max_new_tokens: int, suppress_tokens
) -> list[list[int]]:
    """Greedy continuations by `generate`, cut after their end token."""
    output = model.generate(
        input_ids=prefix_BL,
        attention_mask=torch.ones_like(prefix_BL),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        suppress_tokens=suppress_tokens,
        eos_token_id=eos_id,
        pad_token_id=0,
    )
    rows = output[:, prefix_BL.shape[1] :].tolist()
    return [row[: row.index(eos_id) + 1] if eos_id in row else row for row in rows]


def end_that_spreads(rows: list[list[int]]) -> int:
    """The token whose first occurrences are at the most different places, so that rows ending there end apart."""
    tokens = sorted({token for row in rows for token in row})
    return max(tokens, key=lambda token: len({row.index(token) for row in rows if token in row}))


class Watch:
    """Records the batch size of every forward pass of a model."""

    def __init__(self, model):
        self.sizes: list[int] = []
        self.handle = model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module, args, kwargs):
        self.sizes.append(len(kwargs["input_ids"]))


def first_then_real(monkeypatch, first_ids: list[int]) -> None:
    """Makes the first token of each row a given one; the others are sampled."""
    pending = [torch.tensor(first_ids)]

    def sample(logits_BV, *args):
        return pending.pop() if pending else sample_top_p(logits_BV, *args)

    monkeypatch.setattr(sampling, "sample_top_p", sample)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_are_those_of_generate_while_others_leave_the_batch(architecture, monkeypatch):
    """A nucleus of one token is greedy decoding; different first tokens make rows that end at different times."""
    model = build(architecture)
    first = [i for i in range(64) if i not in BANNED][:40]
    prefix = torch.tensor([PREFIX + [token] for token in first])
    eos_id = end_that_spreads(greedy(model, prefix, -1, NEW - 1, BANNED))
    first = [token for token in first if token != eos_id]
    prefix = torch.tensor([PREFIX + [token] for token in first])
    expected = [[t] + row for t, row in zip(first, greedy(model, prefix, eos_id, NEW - 1, BANNED), strict=True)]
    assert len({len(row) for row in expected}) >= 5

    first_then_real(monkeypatch, first)
    watch = Watch(model)
    rows = sample_rows(model, PREFIX, len(first), NEW, [eos_id], BANNED, 1e-6, 1.0, seeded())
    assert rows == expected
    assert watch.sizes[:2] == [1, len(first)], "the prefix is read once"
    assert len(set(watch.sizes[1:])) >= 4 and watch.sizes[-1] < len(first) / 2, "finished rows left"
    assert sum(watch.sizes[1:]) < 1.2 * sum(map(len, rows)), "little is computed for rows that ended"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_row_is_sampled_from_its_own_logits(architecture, dtype, monkeypatch):
    """What the sampler sees for a row, after every compaction, is what a pass over the whole row gives."""
    model = build(architecture).to(dtype)
    tolerance = 1e-3 if dtype == torch.float32 else 0.5
    seen = []

    def sample(logits_BV, *args):
        ids = sample_top_p(logits_BV, *args)
        seen.append((logits_BV.float(), ids))
        return ids

    monkeypatch.setattr(sampling, "sample_top_p", sample)
    eos_id = end_that_spreads(sample_rows(model, PREFIX, 32, NEW, [-1], BANNED, 0.9, 2.0, seeded()))
    seen.clear()
    rows = sample_rows(model, PREFIX, 32, NEW, [eos_id], BANNED, 0.9, 2.0, seeded())
    assert len({len(row) for row in rows}) >= 5
    assert len({len(ids) for _, ids in seen}) >= 4
    for step, (logits, ids) in enumerate(seen):
        here = [row for row in rows if len(row) > step]
        with torch.no_grad():
            expected = model(input_ids=torch.tensor([PREFIX + row[:step] for row in here])).logits[:, -1].float()
        assert expected.std() > 4 * tolerance
        expected[:, BANNED] = -torch.inf
        # Rows that ended stay for a while: ours are found, in order, by what was drawn and from what.
        position = -1
        for row, logits_V in zip(here, expected, strict=True):
            position += 1
            while not (ids[position] == row[step] and torch.allclose(logits[position], logits_V, atol=tolerance)):
                position += 1
                assert position < len(ids), f"no row of the batch has these logits at step {step}"


def test_rows_follow_the_distribution_of_the_model():
    """All continuations of three tokens, against the product of the nucleus probabilities."""
    vocab_size, ends, banned, top_p, temperature = 8, [2, 7], [3], 0.8, 1.3
    model = tiny_models.make_gpt2(vocab_size, initializer_range=0.5)
    rows = sample_rows(model, [4, 5], 20_000, 3, ends, banned, top_p, temperature, seeded())
    assert {row[-1] for row in rows if len(row) < 3} == set(ends)

    @torch.no_grad()
    def step(written: tuple[int, ...]) -> torch.Tensor:
        logits = model(input_ids=torch.tensor([[4, 5, *written]])).logits[0, -1]
        return warped(logits.index_fill(0, torch.tensor(banned), -torch.inf), top_p, temperature).softmax(-1)

    probabilities = {(): 1.0}
    for _ in range(3):
        longer = {}
        for written, probability in probabilities.items():
            if set(ends) & set(written):
                longer[written] = probability
            else:
                longer.update({(*written, i): probability * p for i, p in enumerate(step(written).tolist())})
        probabilities = longer
    counts = dict.fromkeys(probabilities, 0)
    for row in rows:
        counts[tuple(row)] += 1
    assert {len(row) for row in rows} == {1, 2, 3}
    assert_drawn_from(torch.tensor(list(counts.values())), torch.tensor(list(probabilities.values())))


def test_rows_depend_on_the_generator_alone():
    model = build("gpt2")
    arguments = (model, PREFIX, 16, NEW, [2], BANNED, 0.95, 1.0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = sample_rows(*arguments, seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert sample_rows(*arguments, seeded(3)) == first
    assert sample_rows(*arguments, seeded(4)) != first


def test_models_without_a_key_value_cache_are_an_error():
    config = MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1)
    with pytest.raises(UserError, match="mamba models keep no key-value cache"):
        sample_rows(MambaForCausalLM(config).eval(), [4, 5], 2, 3, [2], [], 0.9, 1.0, seeded())


# ---- the generator ----


def assert_greedy_limit(generator: Generator, spec) -> None:
    generator.model.eval()
    config = generator.generation_config(local=True)
    new = spec.max_length + len(spec.text_columns)
    for label in range(2):
        prefix = torch.tensor([generator.format.prefix(label)])
        [expected] = greedy(generator.model, prefix, config.eos_token_id, new, config.suppress_tokens)
        assert generator.sample(label, 0, 1, top_p=1e-6) == [expected] * chunk_size(0)


@pytest.mark.parametrize(("trim", "label_prefix"), [(True, "token"), (False, "text")])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_limit_of_a_generator(architecture, trim, label_prefix, tmp_path):
    build = tiny_models.CAUSAL_BUILDERS[architecture]
    generator = make_generator(tmp_path, build, PAIR, trim_vocabulary=trim, label_prefix=label_prefix)
    assert_greedy_limit(generator, PAIR)


# peft reads a property of the model that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_greedy_limit_with_adapters(architecture, tmp_path):
    pytest.importorskip("peft")
    base = save_base(tmp_path, tiny_models.CAUSAL_BUILDERS[architecture])
    arguments = GeneratorArguments(generator=base, use_peft=True, lora_r=4)
    generator = Generator.create(arguments, SINGLE, SINGLE_ROWS)
    before = generator.sample(0, 0, 1, top_p=1e-6)
    with torch.no_grad():
        for name, parameter in generator.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=seeded(), std=0.5)
    assert_greedy_limit(generator, SINGLE)
    assert generator.sample(0, 0, 1, top_p=1e-6) != before, "the adapters matter"


def test_sampling_restores_the_training_mode(tmp_path):
    generator = make_generator(tmp_path)
    generator.model.train()
    first = generator.sample(0, 0, 1)
    assert generator.model.training
    assert generator.sample(0, 0, 1) == first, "dropout is off"


def test_chunks_do_not_depend_on_each_other(tmp_path):
    generator = make_generator(tmp_path)
    expected = [generator.sample(1, chunk, 5) for chunk in range(3)]
    assert expected[0] != expected[1] != expected[2]
    torch.manual_seed(7)
    assert [generator.sample(1, chunk, 5) for chunk in (2, 0, 1)] == [expected[2], expected[0], expected[1]]
