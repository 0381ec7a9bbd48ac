# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`benchmarks/bike_shop.py`: the data set of our own that a study is made on."""

import csv
import re
import sys

from benchmarks import bike_shop


def written(path, monkeypatch) -> list[tuple[str, str]]:
    """The rows of the file that the program writes."""
    monkeypatch.setattr(sys, "argv", ["bike_shop.py", str(path)])
    bike_shop.main()
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def desk_of(text: str) -> str:
    """The desk from whose sentences a message is made."""
    for desk, sentences in bike_shop.MESSAGES.items():
        for sentence in sentences:
            pattern = ".*".join(map(re.escape, re.split(r" ?\{\w+\}", sentence)))
            if re.search(pattern, text, re.IGNORECASE):
                return desk
    raise AssertionError(text)


def test_the_same_distinct_messages_every_time(tmp_path, monkeypatch):
    rows = written(tmp_path / "a.csv", monkeypatch)
    assert rows == written(tmp_path / "b.csv", monkeypatch) == bike_shop.rows()
    assert len(rows) == len({text for text, _ in rows}) == 900


def test_one_label_in_twenty_is_that_of_another_desk():
    rows = bike_shop.rows()
    wrong = sum(desk_of(text) != label for text, label in rows) / len(rows)
    assert 0.03 < wrong < 0.07
    assert {desk_of(text) for text, _ in rows} == {label for _, label in rows} == set(bike_shop.MESSAGES)
