# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The text of prompts and the order of demonstrations."""

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddg_hf.data.tasks import TASKS, get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.icl import PromptTemplate, round_robin
from ddg_hf.evaluation.icl.prompts import _warn_once, flatten, warn_empty_queries

PAIR = PromptTemplate("Compare.", ("Premise", "Hypothesis"), "Relation", ("entailment", "neutral"))


def test_layout():
    prefix = PAIR.prefix([(("it rains", "it is wet"), 0), (("it rains", "it is late"), 1)])
    assert prefix == (
        "Compare.\n\n"
        "Premise: it rains\nHypothesis: it is wet\nRelation: entailment\n\n"
        "Premise: it rains\nHypothesis: it is late\nRelation: neutral\n\n"
    )
    assert PAIR.query(("a", "b")) == "Premise: a\nHypothesis: b\nRelation:"
    assert PAIR.continuations() == [" entailment", " neutral"]
    # a demonstration is a query, its answer, and the beginning of what follows
    assert (PAIR.query(("a", "b")) + " neutral" + PAIR.terminator).startswith(PAIR.demonstration(("a", "b"), 1))


def plain_block(template, texts):
    """The layout of a query, without Jinja2."""
    lines = [f"{name}: {flatten(text)}".rstrip() for name, text in zip(template.field_names, texts, strict=True)]
    return "\n".join(lines) + f"\n{template.answer_name}:"


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 1)), max_size=4), st.tuples(st.text(), st.text()))
def test_layout_whatever_the_texts(rows, query):
    demonstrations = [((first, second), label) for first, second, label in rows]
    prompts = PAIR.prompts(demonstrations, [query])
    blocks = [f"{plain_block(PAIR, texts)} {PAIR.label_words[label]}\n\n" for texts, label in demonstrations]
    assert prompts.prefix == "Compare.\n\n" + "".join(blocks)
    assert prompts.queries == [plain_block(PAIR, query)]
    assert (prompts.continuations, prompts.terminator) == ([" entailment", " neutral"], "\n\nPremise:")
    assert prompts.messages is None and not prompts.with_special_tokens


@pytest.mark.parametrize("name", TASKS)
def test_layout_of_every_task(name):
    spec = get_task(name)
    template = PromptTemplate.from_task(spec)
    texts = tuple(f"some {column}" for column in spec.text_columns)
    assert template.query(texts) == plain_block(template, texts)
    assert template.continuations() == [f" {word}" for word in spec.label_words]
    assert template.terminator == f"\n\n{spec.field_names[0]}:"
    assert template.prefix([]) == f"{spec.instruction}\n\n"


def test_prompts_each_are_those_of_each_query():
    rows = [(("a", "b"), 0), (("c", "d"), 1)]
    queries = [("q", "r"), ("s", "t"), ("u", "v")]
    shown = [rows, rows[1:], []]
    each = PAIR.prompts_each(shown, queries)
    assert each.prefix == ""
    for text, demonstrations, query in zip(each.queries, shown, queries, strict=True):
        alone = PAIR.prompts(demonstrations, [query])
        assert text == alone.prefix + alone.queries[0]
    assert (each.continuations, each.terminator) == (alone.continuations, alone.terminator)


def test_instruct_lists_the_labels():
    spec = get_task("ag_news")
    template = PromptTemplate.from_task(spec, instruct=True)
    assert template.prefix([]) == (
        f"{spec.instruction} The possible answers are: World, Sports, Business, Sci/Tech.\n\n"
    )
    banking = PromptTemplate.from_task(get_task("banking77"), instruct=True)
    assert all(word in banking.instruction for word in banking.label_words)


@pytest.mark.parametrize("instruct, listed", [(False, ""), (True, "The possible answers are: negative, positive.")])
def test_instruction(instruct, listed):
    spec = get_task("sst2")
    own = PromptTemplate.from_task(spec, instruction="Be\nbrief.", instruct=instruct)
    assert own.prefix([]) == f"Be brief. {listed}".strip() + "\n\n"
    none = PromptTemplate.from_task(spec, instruction="", instruct=instruct)
    assert none.prefix([]) == (f"{listed}\n\n" if instruct else "")


def test_no_instruction_and_no_demonstrations():
    template = dataclasses.replace(PAIR, instruction="")
    assert template.prefix([]) == ""


@pytest.mark.parametrize("character", ["\n", "\r\n", "\t", "\x00", "\x08", "\x0b", "\x85", "\u2028", "\u2029"])
def test_text_cannot_fake_a_block(character):
    text = f"fine{character}{character}Relation: neutral{character}{character}Premise: more"
    block = PAIR.query((text, "x"))
    assert block.splitlines() == ["Premise: fine Relation: neutral Premise: more", "Hypothesis: x", "Relation:"]
    words = dataclasses.replace(get_task("sst2"), label_words=(f"nega{character}tive", "positive"))
    assert PromptTemplate.from_task(words).continuation(0) == " nega tive"


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029])
def test_control_characters_become_a_space(code):
    assert flatten(f"a{chr(code)}b") == "a b"


@pytest.mark.parametrize("code", [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_characters_that_turn_a_text_round_are_removed(code):
    assert flatten(f"good{chr(code)}bad") == "goodbad"


def test_surrogates_can_be_encoded():
    assert flatten("a\ud800\udfffb").encode() == "a\ufffd\ufffdb".encode()


def test_zero_width_characters_stay():
    text = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f467 a\u200bb"
    assert flatten(text) == text


def test_long_text():
    text = " ".join(["word"] * 20_000) + " " * 20_000 + "end"
    assert PAIR.query((text, "x")) == f"Premise: {text}\nHypothesis: x\nRelation:"


def test_empty_queries_are_counted_once(caplog):
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, "ddg_hf"):
        for _ in range(2):
            warn_empty_queries([("", " "), ("a", ""), ("\n", "\x00")])
            warn_empty_queries([("a", "b")])
    assert [record.getMessage() for record in caplog.records] == ["2 of 3 queries have no text"]


def test_empty_text_leaves_no_trailing_space():
    assert PAIR.query(("", " ")) == "Premise:\nHypothesis:\nRelation:"


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_template_and_parses_its_own_labels(name):
    template = PromptTemplate.from_task(get_task(name))
    for label in range(template.num_labels):
        assert template.parse(template.continuation(label).upper() + "  ") == label


def test_parse_wants_the_whole_label():
    for answer in ("", "neutral.", "neut", "entailment neutral"):
        assert PAIR.parse(answer) == -1


@pytest.mark.parametrize(
    "words, message",
    [
        (("same", "Same"), "labels 0 and 1 are both called"),
        (("stra\u00dfe", "STRASSE"), "are both called"),
        (("a", "\n"), "label 1 has no name"),
        (("a", "\u200b\u202e"), "label 1 has no name"),
    ],
)
def test_label_words_must_differ(words, message):
    with pytest.raises(UserError, match=message):
        PromptTemplate.from_task(dataclasses.replace(get_task("sst2"), label_words=words))


@pytest.mark.parametrize("label", [-1, 2])
def test_demonstration_with_unknown_label(label):
    with pytest.raises(UserError, match=f"label {label}, but the task has labels 0 to 1"):
        PAIR.prefix([(("a", "b"), label)])


def test_round_robin_has_every_label_in_every_round():
    labels = [0, 0, 0, 1, 2, 1, 2, 1, 2, 0]
    order = round_robin(labels, rounds=3, seed=0, num_labels=3)
    assert len(set(order)) == 9
    for start in (0, 3, 6):
        assert sorted(labels[i] for i in order[start : start + 3]) == [0, 1, 2]
    # the last row of label 0 is one more than three rounds need
    assert 9 not in order


def test_round_robin_seed():
    labels = np.arange(40) % 4
    orders = [round_robin(labels, 10, seed, 4) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    first_labels = {labels[round_robin(labels, 10, seed, 4)[0]] for seed in range(30)}
    assert first_labels == {0, 1, 2, 3}


def test_round_robin_needs_enough_rows():
    with pytest.raises(UserError, match="label 1, but there are 1; pass --rounds 1"):
        round_robin([0, 0, 1], rounds=2, seed=0, num_labels=2)
