# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Empty and truncated texts, and those with control tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.quality.broken_texts import (
    control_tokens,
    find_control_tokens,
    find_empty,
    find_truncated,
    judge_control_tokens,
    judge_empty,
    judge_truncated,
    truncation,
)


def test_blank_is_told_from_wordless():
    findings = find_empty([("",), (" \t\u200b\u00a0",), ("🙂 !",), ("a",), ("fine", " ")])
    assert [(finding.row, finding.details) for finding in findings] == [
        (0, {"column": 0, "kind": "blank"}),
        (1, {"column": 0, "kind": "blank"}),
        (2, {"column": 0, "kind": "wordless"}),
        (4, {"column": 1, "kind": "blank"}),
    ]
    assert judge_empty(findings).status == "fail"
    assert judge_empty(findings[2:3]).status == "warn"
    assert judge_empty([]).status == "ok"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a film that is funny ,", "mark"),
        ("a film -", "mark"),
        ("he said (", "mark"),
        ("it starts -lrb-", "mark"),
        ("one of the best movies of the", "word"),
        ("I liked it BECAUSE ", "word"),
        ("the sequel (which nobody asked for", "bracket"),
        ('she called it "a masterpiece', "bracket"),
        ("`` an odd film", "bracket"),
    ],
)
def test_cut_off(text, kind):
    assert truncation(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "a fine film .",
        "who are you with",
        "a fine film",
        "Where do I send it to?",
        'she called it "a masterpiece"',
        "they left, and ...",
        "so bad :(",
        "so good (:",
        "sorry =( ",
        "it 's -lrb- not -rrb- good",
        "vitamin A",
        "n/a",
        "他说（",
        "",
    ],
)
def test_not_cut_off(text):
    assert truncation(text) is None


@given(st.text(max_size=40))
def test_a_sentence_with_its_full_stop_is_never_cut_off(text):
    assert truncation(text + ".") is None


def test_every_column_is_looked_at():
    (finding,) = find_truncated([("all right .", "the end of the")])
    assert (finding.row, finding.details) == (0, {"column": 1, "kind": "word"})
    assert judge_truncated([finding], 10).status == "fail"
    assert judge_truncated([finding], 11).status == "warn"
    assert judge_truncated([], 11).status == "ok"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<label_0> good", ["<label_...>"]),
        ("<label_very negative>", ["<label_...>"]),
        ("one<sep>two<eos>", ["<sep>", "<eos>"]),
        ("end<|endoftext|>", ["<|...|>"]),
        ("<|im_start|>user<eos>", ["<|...|>", "<eos>"]),
        ("[CLS] good [SEP]", ["[CLS]", "[SEP]"]),
        ("<s>good</s>", ["<s>", "</s>"]),
        ("<start_of_turn>model <unused12> <extra_id_3>", ["<start_of_turn>", "<unused12>", "<extra_id_3>"]),
        ("[INST] <<SYS>>", ["[INST]", "<<SYS>>"]),
        ("red \x1b[31mtext\x00\x9b", ["U+001B", "U+0000", "U+009B"]),
        ("right \u202eleft", ["U+202E"]),
        ("caf\ufffd", ["U+FFFD"]),
    ],
)
def test_control_tokens(text, tokens):
    assert control_tokens(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "[NAME] said",
        "<b>bold</b>",
        "tab\tline\r\n",
        "|>",
        "family 👨‍👩‍👧",
        "[sep] the month",
        "a<|b",
        "<unused4111111111111111>",
    ],
)
def test_ordinary_text_has_none(text):
    assert control_tokens(text) == []


@given(st.lists(st.sampled_from(["<", "|", ">", "<|", "|>", "<label_", "<unused", "<extra_id_", "[", "]", "PRIVATE"])))
def test_no_words_of_a_text_are_in_its_tokens(parts):
    assert "PRIVATE" not in "".join(control_tokens("".join(parts)))


def test_first_token_is_named():
    findings = find_control_tokens([("fine",), ("<eos> <pad>",)])
    assert [(finding.row, finding.details) for finding in findings] == [(1, {"column": 0, "token": "<eos>"})]
    assert judge_control_tokens(findings).status == "fail"
    assert judge_control_tokens([]).status == "ok"
