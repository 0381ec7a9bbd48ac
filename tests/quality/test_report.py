# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""All checks together, and the section of the card."""

import json
import time

import pyarrow.parquet as pq
import pytest

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import available_dpc, load_distilled
from ddg_hf.evaluation.results import dump_readable
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import distilled_table
from ddg_hf.generation import DistilledRow
from ddg_hf.quality import CHECKS, checks_markdown, found_by, is_current, run_checks
from ddg_hf.quality.broken_texts import control_tokens, truncation
from ddg_hf.quality.markdown import escape_markdown
from ddg_hf.quality.personal_data import personal_data
from ddg_hf.quality.terminal import print_checks, printable
from ddg_hf.quality.words import words
from tests.quality.directories import write_directory

CLEAN = {"dpc_1": [("a fine film .", 1, 0), ("a poor film .", 0, 0)]}


@pytest.fixture
def clean(tmp_path):
    return open_distilled(write_directory(tmp_path / "sets", CLEAN))


def test_every_check_has_its_place_and_the_result_is_json(clean):
    checks = run_checks(clean)
    assert list(checks["checks"]) == list(CHECKS)
    assert json.loads(dump_readable(checks)) == checks
    for name, check in checks["checks"].items():
        assert check["status"] in ("ok", "not_run"), name
        assert ("reason" in check) == (check["status"] == "not_run")
    assert checks["status"] == "ok"
    assert found_by(checks, ["any"]) == []


def test_rows_are_named_by_their_place_in_their_configuration(tmp_path):
    rows = {"dpc_1": CLEAN["dpc_1"], "dpc_2": [("one .", 1, 0), ("mail me@b.org", 0, 3), ("a FINE film", 1, 3)]}
    directory = open_distilled(write_directory(tmp_path / "sets", rows))
    real = {"train": ([("other",), ("a fine film",)], [0, 1])}
    checks = run_checks(directory, real)["checks"]
    place = {"config": "dpc_2", "set": 3, "row": 1, "label": "negative"}
    assert checks["personal_data"]["examples"] == [{**place, "column": 0, "kind": "email"}]
    assert [(e["config"], e["row"], e["real_row"]) for e in checks["copies"]["examples"]] == [
        ("dpc_1", 0, 1),
        ("dpc_2", 2, 1),
    ]
    assert [checks["copies"]["configs"][config]["found"] for config in ("dpc_1", "dpc_2")] == [1, 1]
    # "dpc_1" and "dpc_2" may share rows: sizes are made from the same candidates.
    assert checks["duplicates"]["configs"]["dpc_2"]["found"] == 0


def test_number_of_examples_is_bounded(tmp_path):
    rows = {f"dpc_{n}": [("write to a@b.org", i % 2, i) for i in range(8)] for n in (4, 5)}
    directory = open_distilled(write_directory(tmp_path / "sets", rows))
    for most in (0, 3, 100):
        examples = run_checks(directory, max_examples=most)["checks"]["personal_data"]["examples"]
        assert len(examples) == min(most, 16)


SECRETS = (
    "write to someone@example.org today",
    "the patient Mrs. Smith",
    "<label_the patient Mrs. Smith>",
    "<|the patient Mrs. Smith|>",
    "<sep> Smith <eos>",
    "call +49 30 1234567 or 4111 1111 1111 1111",
    "see https://example.org/smith",
    "the secret test sentence of the",
    "(smith \x1b\ufffd",
)


def test_no_text_of_a_row_is_in_the_result(clean, tmp_path):
    rows = {"dpc_1": [(text, i % 2, 0) for i, text in enumerate((*SECRETS, *SECRETS))]}
    directory = open_distilled(write_directory(tmp_path / "secret", rows))
    real = {"test": ([(text,) for text in SECRETS], [0] * len(SECRETS))}
    told = words(json.dumps(run_checks(directory, real, max_examples=100)["checks"]))
    # Words of any report, the names of the split and of the tokens.
    known = {*words(json.dumps(run_checks(clean)["checks"])), "test", "sep", "label"}
    assert {"smith", "someone", "secret", "4111"} <= set(words(" ".join(SECRETS))) - known
    assert not (set(words(" ".join(SECRETS))) - known) & set(told)


def test_checks_know_the_rows_that_they_are_of(clean, tmp_path):
    checks = run_checks(clean)
    assert is_current(checks, clean)
    other = {"dpc_1": [(text.upper(), label, number) for text, label, number in CLEAN["dpc_1"]]}
    assert not is_current(checks, open_distilled(write_directory(tmp_path / "other", other)))
    assert not is_current({}, clean)


def test_markdown_has_a_column_for_each_configuration(tmp_path):
    rows = {"dpc_1": CLEAN["dpc_1"], "dpc_2": [("call 212-555-0100", 1, 0), ("no .", 0, 0)]}
    directory = open_distilled(write_directory(tmp_path / "sets", rows))
    text = checks_markdown(run_checks(directory, {"train": ([("b",), ("c d",)], [0, 1])}))
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {4}
    assert (
        "| e-mail addresses, telephone, card and account numbers, URLs | ok: 0 of 2 rows | fail: 1 of 2 rows |" in text
    )
    assert "2 train" in text


@pytest.mark.parametrize("broken", [{}, [], "text", {"configs": ["dpc_1"]}, {"configs": 3, "real_rows": {}}])
def test_markdown_of_something_else_is_an_error(broken):
    with pytest.raises(UserError, match="run it again"):
        checks_markdown(broken)


HOSTILE = "a|b `code` <script>x</script> [x](http://e.org) www.e.org *b* _i_ \x1b[31m\nnext"


def test_hostile_text_is_neither_markup_nor_escape():
    escaped = escape_markdown(HOSTILE)
    assert not set(escaped) & set("|`<>[]*\x1b\n/")
    assert "www." not in escaped and "_i_" not in escaped
    assert escape_markdown("dpc_5: 3 of 10 rows") == "dpc_5: 3 of 10 rows"
    assert printable("red \x1b[31m\u202e\n") == r"red \x1b[31m\u202e\n"
    assert printable("x" * 300, longest=10) == "x" * 10 + "…"


def test_terminal_shows_training_rows_but_no_test_rows_and_no_escapes(tmp_path, capsys):
    text = "[red]one two[/red] three four five six seven eight \x1b[31m nine"
    rows = {"dpc_1": [(text, 1, 0), ("fine .", 0, 0)]}
    directory = open_distilled(write_directory(tmp_path / "sets", rows))
    near = "red one two red three four five six seven eight 31m nine"
    real = {"train": [(f"{near} TRAINING",)], "test": [(f"{near} TESTING",)]}
    checks = run_checks(directory, {split: (texts, [1]) for split, texts in real.items()})
    assert len(checks["checks"]["near_copies"]["examples"]) == 2
    print_checks(checks, directory, real)
    shown = capsys.readouterr().out
    assert "[red]one two[/red]" in shown and r"\x1b[31m nine" in shown and "\x1b" not in shown
    assert "TRAINING" in shown and "TESTING" not in shown


@pytest.mark.parametrize(
    "unit", ["(", "a@", "+1", "1 ", "12", "<|", ": (", "[", "0 12 ", "AB12 ", "''  ", " ", "212-555-"]
)
def test_no_pattern_takes_long_on_a_long_text(unit):
    """100,000 characters take hundredths of a second; a pattern that backtracks would take minutes."""
    text = unit * (100_000 // len(unit)) + "x"
    start = time.perf_counter()
    truncation(text), control_tokens(text), personal_data(text), words(text), escape_markdown(text), printable(text)
    assert time.perf_counter() - start < 5


def published(shared_data, tmp_path, task):
    """DiLM's published sets of a task as a directory."""
    spec, source = get_task(task), str(shared_data / "dilm_published" / task)
    for n in available_dpc(source):
        sets = load_distilled(source, f"dpc_{n}", spec)
        rows = [DistilledRow(texts, label, one.set_id, float("nan")) for one in sets for texts, label in one.rows]
        folder = tmp_path / task / f"dpc_{n}"
        folder.mkdir(parents=True)
        pq.write_table(distilled_table(rows, spec), folder / "train.parquet")
    return open_distilled(tmp_path / task)


def real_rows(shared_data, spec):
    splits = {}
    for split in ("train", "validation", "test"):
        columns = pq.read_table(shared_data / spec.name / f"{split}.parquet").to_pydict()
        texts = list(zip(*(columns[name] for name in spec.text_columns), strict=True))
        splits[split] = (texts, columns["label"])
    return splits


def test_published_sst2_repeats_three_training_rows(shared_data, tmp_path):
    directory = published(shared_data, tmp_path, "sst2")
    checks = run_checks(directory, real_rows(shared_data, directory.spec))["checks"]
    copies = checks["copies"]["configs"].values()
    assert sum(result["found"] for result in copies) == 3
    assert sum(result["train"]["normalised"] for result in copies) == 3
    assert sum(result["train"]["exact"] for result in copies) == 0
    assert all(not any(result[split].values()) for result in copies for split in ("validation", "test"))
    assert checks["balance"]["status"] == "ok"
    # Many of its texts are long phrases of training rows.
    assert checks["near_copies"]["configs"]["dpc_5"]["train"] >= 10


@pytest.mark.parametrize("task", ["qqp", "mnli"])
def test_published_pairs_repeat_no_real_row(shared_data, tmp_path, task):
    directory = published(shared_data, tmp_path, task)
    checks = run_checks(directory, real_rows(shared_data, directory.spec))["checks"]
    for result in checks["copies"]["configs"].values():
        for split in ("train", "validation", "test"):
            assert result[split]["exact"] == result[split]["normalised"] == 0
    assert checks["balance"]["status"] == "ok"
    assert checks["empty"]["configs"]["dpc_5"]["blank"] == 0
