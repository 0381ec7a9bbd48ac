# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Demonstrations in a file of JSON lines, and what is wrong with some of them."""

import json

import pytest

from ddg_hf.data.tasks import get_task
from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import DemonstrationSet, load_json_sets
from ddg_hf.evaluation.demonstrations.json_file import read_json_rows

SPEC, PAIRS = get_task("sst2"), get_task("qnli")


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="sets.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def row(text, label, **more):
    return {"sentence": text, "label": label, **more}


def test_labels_by_name_or_id(write):
    path = write(row("a", "positive"), "", row("b", 0), {"sentence": "c", "labels": 1, "generator_loss": 2.5})
    assert read_json_rows(path, SPEC) == [(0, (("a",), 1)), (0, (("b",), 0)), (0, (("c",), 1))]


def test_pairs_of_texts(write):
    path = write({"sentence": "s", "question": "q", "label": "not_entailment"})
    assert read_json_rows(path, PAIRS) == [(0, (("q", "s"), 1))]


def test_an_array_byte_order_mark_and_windows_lines(tmp_path):
    rows = [row("a", 1), row("b", 0)]
    expected = [(0, (("a",), 1)), (0, (("b",), 0))]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, indent=2))
    assert read_json_rows(path, SPEC) == expected
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, rows)).encode())
    assert read_json_rows(path, SPEC) == expected


def test_characters_that_end_lines_elsewhere(write):
    texts = ["next\u2028line", "and\u2029paragraph", "or\x85this", "escaped\nnewline", "日本語 🎬"]
    path = write(*(row(text, 0) for text in texts))
    assert [texts for _, ((texts,), _) in read_json_rows(path, SPEC)] == texts


def test_sets_of_equal_classes(write):
    path = write(row("a", 1, set=4), row("b", 0, set=4), row("c", 0, set=1), row("d", 1, set=1))
    assert load_json_sets(path, SPEC) == {
        1: [
            DemonstrationSet(1, ((("c",), 0), (("d",), 1))),
            DemonstrationSet(4, ((("a",), 1), (("b",), 0))),
        ]
    }


def test_sets_of_different_size(write):
    two = [row(f"{i}", i % 2, set=0) for i in range(4)]
    one = [row("x", 1, set=2), row("y", 0, set=2)]
    sets = load_json_sets(write(*two, *one), SPEC)
    assert {n: [members.set_id for members in group] for n, group in sets.items()} == {1: [2], 2: [0]}
    assert list(sets) == [1, 2]


def test_uneven_classes_are_shown_whole(write):
    path = write(*(row(f"{i}", label) for i, label in enumerate([0, 0, 0, 1, 0])))
    ((n, (members,)),) = load_json_sets(path, SPEC).items()
    assert n == 3 and not members.ordered
    shown = members.in_order(3, 2, seed=0)
    assert sorted(texts[0] for texts, _ in shown) == ["0", "1", "2", "3", "4"]
    # with fewer rounds, classes are as equal as they can be
    assert {texts for texts, _ in members.in_order(1, 2, seed=0)} == {("0",), ("3",)}


def test_a_class_that_is_missing(write):
    ((n, (members,)),) = load_json_sets(write(row("a", 1)), SPEC).items()
    assert n == 1 and members.in_order(1, 2, seed=0) == [(("a",), 1)]


def test_first_rows_of_each_class(write):
    path = write(*(row(f"{i}", label) for i, label in enumerate([0, 0, 0, 1, 0, 1])))
    sets = load_json_sets(path, SPEC, dpc=[2, 1, 2])
    assert {n: sorted(texts[0] for texts, _ in members.rows) for n, (members,) in sets.items()} == {
        1: ["0", "3"],
        2: ["0", "1", "3", "5"],
    }
    assert all(members.ordered for (members,) in sets.values())
    with pytest.raises(UserError, match="class 'positive' has 2 rows in set 0 of .*, but 3 are needed; lower --dpc"):
        load_json_sets(path, SPEC, dpc=[1, 3])


def test_empty_texts_are_allowed(write):
    assert read_json_rows(write(row("", 0)), SPEC) == [(0, (("",), 0))]


GOOD = row("a", 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [GOOD, row("b", "neutral"), GOOD, row("c", 2)],
            r"not have: 'neutral' \(line 2\), 2 \(line 4\); its labels are",
        ),
        ([row("b", -1)], r"does not have: -1 \(line 1\)"),
        ([row("b", 1.0)], r"does not have: 1.0 \(line 1\)"),
        ([row("b", [1])], r"does not have: \[1\] \(line 1\)"),
        ([row("b", True)], r"does not have: True \(line 1\)"),
        ([row("b", "1")], r"does not have: '1' \(line 1\)"),
        ([row("b", 9)] * 7, r"9 \(line 5\) and 2 more; its labels are negative, positive \(or their ids, 0 to 1\)"),
        ([GOOD, "", {"sentense": "b", "label": 0}], "line 3 of .* has no 'sentence'. Did you mean 'sentense'"),
        ([GOOD, {"sentence": "b"}], "line 2 of .* has no 'label'; its fields are sentence"),
        ([row(None, 0)], "'sentence' in line 1 of .* is None, not text"),
        ([row(["a"], 0)], "is \\['a'\\], not text"),
        (['{"sentence": "\\ud800", "label": 0}'], "surrogate"),
        ([row("a", 0, set="x")], "'set' in line 1 of .* is 'x', not a whole number"),
        ([row("a", 0, set=-1)], "is -1, not a whole number"),
        ([row("a", 0, set=None)], "is None, not a whole number"),
        ([row("a", 0, set=1), GOOD], "1 of 2 rows of .* have a 'set': give it to all"),
        ([GOOD, "{broken"], "line 2 of .* is not JSON: Expecting"),
        ([GOOD, "7"], "line 2 of .* is not a JSON object"),
        (['{"sentence": "a", "label": 0, "label": 1}'], "line 1 of .* has two fields 'label'"),
        (["[1, 2]"], "row 1 .line 1. of .* is not a JSON object"),
        (["[{broken"], "is not JSON"),
        (["[" * 100_000], "is not JSON"),
        (['{"sentence": "a", "label": ' + "9" * 5000 + "}"], "line 1 of .* is not JSON"),
        ([], "holds no demonstrations: it is empty"),
        (["", "  "], "holds no demonstrations: it is empty"),
        (["[]"], "holds no demonstrations: it is empty"),
    ],
)
def test_mistakes_are_one_line(rows, message, write):
    with pytest.raises(UserError, match=message) as error:
        read_json_rows(write(*rows), SPEC)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="cannot read .*nowhere.jsonl': No such file"):
        read_json_rows(tmp_path / "nowhere.jsonl", SPEC)
    (tmp_path / "table.parquet").write_bytes(b"PAR1\xff\xfe\x00")
    with pytest.raises(UserError, match="NUL byte in line 1, column 7: is it text"):
        read_json_rows(tmp_path / "table.parquet", SPEC)


def test_many_labels_are_not_all_listed(write):
    with pytest.raises(UserError, match=r"activate_my_card, .*, \.\.\. \(or their ids, 0 to 76\)"):
        read_json_rows(write({"text": "x", "label": 77}), get_task("banking77"))
