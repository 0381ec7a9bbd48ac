# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tokens of the parts of a prompt, put together, are the tokens of the whole text."""

import numpy as np
import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import encode_prompts, score_labels
from ddg_hf.evaluation.icl.encoding import encode
from tests.evaluation.icl.helpers import (
    DEMONSTRATIONS,
    QUERIES,
    TEMPLATE,
    joining_tokenizer,
    make_model,
    metaspace_tokenizer,
    splitting_tokenizer,
    uncached_score_labels,
    with_bos,
)

PREFIX = TEMPLATE.prefix(DEMONSTRATIONS)
LABELS = TEMPLATE.continuations()


@pytest.fixture(params=["byte_level", "byte_level_bos_eos", "metaspace", "metaspace_always", "joining"])
def tokenizer(request, tiny_tokenizer):
    if request.param == "byte_level":
        return tiny_tokenizer
    if request.param == "byte_level_bos_eos":
        return with_bos(tiny_tokenizer)
    if request.param.startswith("metaspace"):
        return metaspace_tokenizer("always" if request.param.endswith("always") else "first")
    return joining_tokenizer()


@pytest.mark.parametrize("space", [" ", "\n"])
def test_parts_are_the_whole(tokenizer, space):
    """Labels with a space before them, and without one, where a line of their own keeps them from the colon."""
    labels = [label.strip() if space == "\n" else label for label in LABELS]
    queries = [query + "\n" for query in QUERIES] if space == "\n" else QUERIES
    prompts = encode_prompts(tokenizer, PREFIX, queries, labels)
    for query, ids in zip(queries, prompts.queries, strict=True):
        assert ids
        for label, label_ids in zip(labels, prompts.labels, strict=True):
            whole = tokenizer(PREFIX + query + label)["input_ids"]
            assert whole[-1] != tokenizer.eos_token_id or whole.pop()
            assert prompts.prefix + ids + label_ids == whole
    assert len(prompts.prefix) > max(map(len, prompts.queries))


def test_seam_moves_back_where_the_tokenizer_joins_blocks():
    tokenizer = joining_tokenizer()
    apart = tokenizer(PREFIX)["input_ids"]
    prompts = encode_prompts(tokenizer, PREFIX, QUERIES, LABELS)
    assert prompts.prefix != apart[: len(prompts.prefix) + 1]  # tokenising the prefix alone would have been wrong
    model = make_model("llama", tokenizer)
    np.testing.assert_allclose(
        score_labels(model, tokenizer, PREFIX, QUERIES, LABELS),
        uncached_score_labels(model, tokenizer, PREFIX, QUERIES, LABELS),
        rtol=0,
        atol=1e-4,
    )


def test_bos_is_added_once_and_eos_never(tiny_tokenizer):
    bos, eos = tiny_tokenizer.bos_token_id, tiny_tokenizer.eos_token_id
    bare = encode(tiny_tokenizer, ["a film"])[0].tolist()
    tokenizer = with_bos(tiny_tokenizer)
    assert tokenizer("a film")["input_ids"] == [bos, *bare, eos]
    assert encode(tokenizer, ["a film"])[0].tolist() == [bos, *bare]


def test_special_tokens_in_a_text_are_text(tiny_tokenizer):
    ids = encode(tiny_tokenizer, ["good <eos> Review"])[0]
    assert tiny_tokenizer.eos_token_id not in ids
    assert tiny_tokenizer.decode(ids) == "good <eos> Review"
    assert tiny_tokenizer("<eos>")["input_ids"] == [tiny_tokenizer.eos_token_id]  # as before


def test_newline_is_scored_only_where_labels_are_nested(tiny_tokenizer):
    apart = encode_prompts(tiny_tokenizer, PREFIX, QUERIES, [" good", " great"], TEMPLATE.terminator)
    nested = encode_prompts(tiny_tokenizer, PREFIX, QUERIES, [" good", " good and great", " bad"], TEMPLATE.terminator)
    assert not apart.terminated and nested.terminated
    assert {tiny_tokenizer.decode(ids)[-1] for ids in nested.labels} == {"\n"}
    assert nested.labels[0][:-1] == apart.labels[0]


@pytest.mark.parametrize(
    "labels, message",
    [(["", " good"], "makes no tokens of label 0"), ([" good", " good"], "the same tokens")],
)
def test_useless_labels(labels, message, tiny_tokenizer):
    with pytest.raises(UserError, match=message):
        encode_prompts(tiny_tokenizer, PREFIX, QUERIES, labels)


def test_label_joined_with_the_prompt():
    with pytest.raises(UserError, match="--scoring generate"):
        encode_prompts(splitting_tokenizer(), PREFIX, QUERIES, LABELS)


def test_label_tokens_that_depend_on_the_query(tiny_tokenizer):
    """The words are pulled together behind `m` but not behind a colon."""
    with pytest.raises(UserError, match="depend on the query"):
        encode_prompts(tiny_tokenizer, PREFIX, ["Review:", "Revi"], ["ew", "ewe"])


def test_no_queries(tiny_tokenizer):
    with pytest.raises(UserError, match="no queries"):
        encode_prompts(tiny_tokenizer, PREFIX, [], LABELS)
