# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Texts to token sequences and back."""

import json

import pytest
from transformers import PreTrainedTokenizerFast

from ddg_hf.errors import UserError
from ddg_hf.models.sequence_format import FORMAT_FILE, SequenceFormat, build_format
from tests.models.helpers import PAIR, PAIR_ROWS, SINGLE, SINGLE_ROWS


@pytest.fixture
def single(tiny_tokenizer):
    return build_format(tiny_tokenizer, SINGLE).bind(tiny_tokenizer)


@pytest.fixture
def pair(tiny_tokenizer):
    return build_format(tiny_tokenizer, PAIR).bind(tiny_tokenizer)


@pytest.mark.parametrize("row", [*SINGLE_ROWS, ("  The 'é' & Ü  ",)])
def test_single_column_round_trip(single, row):
    encoded = single.encode(row, label=1)
    assert encoded.prefix == [single.label_ids[1]]
    assert encoded.target[-1] == single.eos_id and encoded.target.count(single.eos_id) == 1
    assert len(encoded) == len(encoded.prefix) + len(encoded.target)
    assert single.decode(encoded.target) == (row[0].strip(),)


@pytest.mark.parametrize("row", PAIR_ROWS)
def test_pair_round_trip(pair, row):
    encoded = pair.encode(row, label=2)
    assert encoded.target.count(pair.separator_id) == 1
    assert pair.decode(encoded.target) == row


def test_cut_texts_have_no_end_token_and_decode_to_none(single, pair):
    long = single.encode(("word " * 60,), label=0)
    assert len(long.target) == SINGLE.max_length
    assert single.eos_id not in long.target
    assert single.decode(long.target) is None
    long = pair.encode(("word " * 60, "a short one"), label=0)
    assert len(long.target) == PAIR.max_length + 1, "the separator is not counted"
    assert pair.decode(long.target) is None
    # The longer column is the one that is cut.
    short = pair.tokenizer(" a short one", add_special_tokens=False).input_ids
    assert long.target[-len(short) :] == short


def test_text_of_exactly_the_maximum_length_is_not_cut(tiny_tokenizer):
    length = len(tiny_tokenizer(" " + SINGLE_ROWS[0][0], add_special_tokens=False).input_ids)
    fits = build_format(tiny_tokenizer, SINGLE, max_length=length).bind(tiny_tokenizer)
    assert fits.decode(fits.encode(SINGLE_ROWS[0], 0).target) == SINGLE_ROWS[0]
    cut = build_format(tiny_tokenizer, SINGLE, max_length=length - 1).bind(tiny_tokenizer)
    assert cut.decode(cut.encode(SINGLE_ROWS[0], 0).target) is None


def test_malformed_targets_decode_to_none(single, pair):
    word = single.tokenizer(" film").input_ids
    separator, eos = single.separator_id, single.eos_id
    nul = single.tokenizer("a\0b", add_special_tokens=False).input_ids
    assert single.tokenizer.decode(nul) == "a\0b"
    for malformed in (
        [],
        [eos],
        word,
        word + [separator] + word + [eos],
        single.tokenizer("  ").input_ids + [eos],
        nul + [eos],
    ):
        assert single.decode(malformed) is None, malformed
    assert single.decode(word + [eos]) == ("film",)
    separator, eos = pair.separator_id, pair.eos_id
    for malformed in (
        word + [eos],
        [separator] + word + [eos],
        word + [separator, eos],
        word + [separator] + word + [separator] + word + [eos],
        word + [separator] + word,
    ):
        assert pair.decode(malformed) is None, malformed
    assert pair.decode(word + [separator] + word + [eos]) == ("film", "film")


def test_begin_token_only_where_the_tokenizer_adds_one(tiny_tokenizer):
    assert build_format(tiny_tokenizer, SINGLE).bos_id is None

    class AddsBos(PreTrainedTokenizerFast):
        def __call__(self, text, add_special_tokens=True, **kwargs):
            encoded = super().__call__(text, add_special_tokens=False, **kwargs)
            if add_special_tokens:
                encoded["input_ids"] = [self.bos_token_id] + encoded["input_ids"]
            return encoded

    tiny_tokenizer.__class__ = AddsBos
    bound = build_format(tiny_tokenizer, SINGLE).bind(tiny_tokenizer)
    assert bound.bos_id == tiny_tokenizer.bos_token_id
    assert bound.prefix(0) == [bound.bos_id, bound.label_ids[0]]
    assert bound.bos_id not in bound.encode(SINGLE_ROWS[0], 0).target
    assert bound.decode(bound.encode(SINGLE_ROWS[0], 0).target) == SINGLE_ROWS[0]


def test_without_pad_and_begin_tokens(tiny_tokenizer):
    tiny_tokenizer.pad_token = None
    tiny_tokenizer.bos_token = None
    bound = build_format(tiny_tokenizer, SINGLE).bind(tiny_tokenizer)
    assert tiny_tokenizer.pad_token is None
    assert set(bound.control_ids) == {*bound.label_ids, bound.separator_id}
    assert bound.decode(bound.encode(SINGLE_ROWS[0], 0).target) == SINGLE_ROWS[0]


def test_control_tokens(single, tiny_tokenizer):
    expected = {*single.label_ids, single.separator_id, tiny_tokenizer.pad_token_id}
    assert set(single.control_ids) == expected
    assert single.eos_id not in single.control_ids


def test_pad_token_that_is_the_end_token_stays_allowed(tiny_tokenizer):
    tiny_tokenizer.pad_token = tiny_tokenizer.eos_token
    bound = build_format(tiny_tokenizer, PAIR).bind(tiny_tokenizer)
    assert set(bound.control_ids) == set(bound.label_ids)


def test_verbal_prefix(tiny_tokenizer):
    known = len(tiny_tokenizer)
    bound = build_format(tiny_tokenizer, SINGLE, label_prefix="text").bind(tiny_tokenizer)
    assert tiny_tokenizer.decode(bound.prefix(0)) == "negative text:"
    assert bound.prefix(0) != bound.prefix(1)
    assert len(tiny_tokenizer) == known + 1, "the separator only"
    assert bound.decode(bound.encode(SINGLE_ROWS[0], 1).target) == SINGLE_ROWS[0]


def test_no_end_token_is_an_error(tiny_tokenizer):
    tiny_tokenizer.eos_token = None
    with pytest.raises(UserError, match="eos_token"):
        build_format(tiny_tokenizer, SINGLE)


def test_special_tokens_of_the_tokenizer_stay(tiny_tokenizer):
    tiny_tokenizer.add_special_tokens({"extra_special_tokens": ["<turn>"]})
    build_format(tiny_tokenizer, SINGLE)
    assert {"<turn>", "<label_0>", "<label_1>", "<sep>"} <= set(tiny_tokenizer.all_special_tokens)


def test_save_and_load(pair, tmp_path, tiny_tokenizer):
    pair.save(tmp_path)
    loaded, kept = SequenceFormat.load(tmp_path)
    assert kept is None
    assert loaded == pair
    loaded.bind(pair.tokenizer)
    assert loaded.encode(PAIR_ROWS[0], 1) == pair.encode(PAIR_ROWS[0], 1)
    assert json.loads((tmp_path / FORMAT_FILE).read_text())["label_names"] == list(PAIR.label_names)


def test_torn_file_is_an_error(tmp_path):
    (tmp_path / FORMAT_FILE).write_text('{"label_names": [')
    with pytest.raises(UserError, match="not valid JSON"):
        SequenceFormat.load(tmp_path)


@pytest.mark.parametrize("text", ["a <sep> b", "the <label_1> token", "it ends </s> here", "<label_0>"])
def test_texts_that_spell_control_tokens_are_texts(single, text):
    encoded = single.encode((text,), 0)
    assert not set(encoded.target[:-1]) & {*single.label_ids, single.separator_id, single.eos_id}
    assert single.decode(encoded.target) == (text,)
