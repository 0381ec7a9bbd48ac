# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""A language model that writes demonstrations without training."""

import pytest
import torch

from ddg_hf.data.tasks import TaskSpec
from ddg_hf.models.generator import chunk_size
from ddg_hf.models.self_generator import SelfGenerator
from ddg_hf.models.sequence_format import EncodedText
from tests import tiny_models

SPEC = TaskSpec(
    name="moods", text_columns=("text",), label_names=("bad", "good"), max_length=12, description="film review"
)
PAIRS = TaskSpec(
    name="pairs",
    text_columns=("premise", "hypothesis"),
    label_names=("yes", "no"),
    field_names=("Premise", "Hypothesis"),
    max_length=8,
)


def make(spec, **settings):
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=512)
    model = tiny_models.make_gpt2(len(tokenizer), n_positions=512).eval()
    model.generation_config.update(**settings)
    generator = SelfGenerator(model, tokenizer, spec)
    with torch.no_grad():  # an end in time for some of the rows
        model.get_output_embeddings().weight[sorted(generator._ends)] *= 30
    return generator


def test_rows_are_lines_that_read_back():
    generator = make(SPEC)
    targets = generator.sample(1, 3, 7)
    assert len(targets) == chunk_size(3) == 64
    rows = [generator.format.decode(target) for target in targets]
    usable = [row for row in rows if row is not None]
    assert usable and all(len(row) == 1 and row[0] and "\n" not in row[0] for row in usable)
    for target, row in zip(targets, rows, strict=True):
        if row is not None:
            assert generator.tokenizer.decode(target).strip() == row[0]


def test_pairs_have_a_line_for_each_column():
    generator = make(PAIRS)
    rows = [generator.format.decode(target) for target in generator.sample(0, 0, 1)]
    assert {len(row) for row in rows if row is not None} == {2}
    assert not any("Hypothesis:" in text for row in rows if row is not None for text in row)
    assert generator.format.question(0, 1, ["it rains"]) == "yes text:\nPremise: it rains\nHypothesis:"


def test_a_pair_is_scored_as_it_was_asked_for():
    """Prefix and target together are what the model continued for the second text, and that text."""
    generator = make(PAIRS)
    format, row = generator.format, ("it rains", "it is wet")
    prefix, target = format.prefix(0), format.encode_target(row)
    decode = generator.tokenizer.decode
    assert decode(prefix, skip_special_tokens=True) == format.question(0, 0, [])
    assert decode(prefix + target, skip_special_tokens=True) == format.question(0, 1, row[:1]) + " it is wet\n"
    assert format.decode(target) == row
    whole = torch.tensor([prefix + target])
    with torch.no_grad():
        logprobs = generator.model(whole).logits[0].log_softmax(-1)
    expected = -torch.stack([logprobs[i - 1, whole[0, i]] for i in range(len(prefix), whole.shape[1])]).mean()
    assert generator.nll([EncodedText(prefix, target)]) == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 0.01},
        {"min_p": 0.9},
        {"typical_p": 0.1},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(200, 400))},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_models_own_generation_settings_do_not_matter(settings):
    """They would in `generate`, which continues what follows different first texts."""
    targets = make(PAIRS).sample(1, 2, 7)
    assert sum(len(target) > 1 for target in targets) > 1  # the rows of which both texts ended
    assert make(PAIRS, **settings).sample(1, 2, 7) == targets


@pytest.mark.parametrize("spec", [SPEC, PAIRS], ids=["text", "pair"])
def test_the_random_stream_is_that_of_label_and_chunk(spec):
    generator = make(spec)
    state = torch.random.get_rng_state()
    first = generator.sample(1, 0, 7)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert generator.sample(1, 0, 7) == first
    assert generator.sample(1, 1, 7) != first and generator.sample(0, 0, 7) != first
    assert generator.sample(1, 0, 8) != first


def test_one_question_is_continued_as_different_ones_are():
    """At a nucleus of one token: with and without the vocabulary sorted, alone and beside others."""
    generator = make(PAIRS)
    format = generator.format
    texts = ("it rains", "one is", "a", "the film", "no", "is it")
    prefixes = [generator.tokenizer(format.question(0, 1, [text])).input_ids for text in texts]
    assert len(set(map(len, prefixes))) > 1
    together = generator._continue_each(prefixes, 1e-6, 1.0, 0)
    lengths = set(map(len, together))
    assert len(lengths) > 1 and max(lengths) > 1  # some end before others
    for prefix, tokens in zip(prefixes, together, strict=True):
        assert generator._continue_one(prefix, 3, 1e-6, 1.0, 0) == [tokens] * 3


def test_malformed_targets():
    generator = make(SPEC)
    encode = generator.format.encode_target
    assert generator.format.decode(encode(["a film"])) == ("a film",)
    assert generator.format.decode([generator.format.eos_id]) is None
    assert generator.format.decode(encode([" "])) is None
    assert generator.format.decode(encode(["a\nfilm"])) is None
    assert generator.format.decode(encode(["a film"])[:-1]) is None


def test_malformed_pairs():
    generator = make(PAIRS)
    encode, decode = generator.format.encode_target, generator.format.decode
    assert decode(encode(["a", " Hypothesis: b"])) == ("a", "Hypothesis: b")
    assert decode(encode(["a", ""])) is None and decode(encode(["", "b"])) is None
    assert decode(encode(["a", "b"])[:-1]) is None and decode(encode(["a", "b\nc"])) is None
    for text in (" a\n", " a\nPremise: b\n"):
        assert decode(generator.tokenizer(text, add_special_tokens=False).input_ids) is None


def test_the_prompt_asks_for_the_label_in_words():
    generator = make(SPEC)
    assert generator.tokenizer.decode(generator.format.prefix(1), skip_special_tokens=True) == "good film review:"
