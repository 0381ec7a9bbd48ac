# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How long the cells that are left will take, by those that are done."""

import pytest

from ddg_hf.errors import UserError
from ddg_hf.study.costs import check_rates, estimates
from ddg_hf.study.plan import Cell
from ddg_hf.study.runner import DONE, CellState


def icl(name, dpc, queries):
    return Cell(name, "evaluate-icl", {}, dpc=dpc, work={"query": queries})


def test_by_the_same_size_then_by_rates_then_by_others():
    cells = [icl("a", 0, 100), icl("b", 5, 100), icl("c", 5, 300), icl("d", 20, 10), Cell("e", "select", {})]
    states = {cell.name: CellState() for cell in cells}
    assert estimates(cells, states, {}) == dict.fromkeys("abcde")
    assert estimates(cells, states, {"query": 2.0})["d"] == 20
    states["a"] = CellState(DONE, 50.0)
    assert estimates(cells, states, {})["d"] == 5, "better than nothing"
    assert estimates(cells, states, {"query": 2.0})["d"] == 20, "zero-shot says little about twenty per class"
    states["b"] = CellState(DONE, 400.0)
    assert estimates(cells, states, {"query": 2.0})["c"] == 1200


def test_what_has_no_work_takes_what_others_took():
    cells = [Cell(name, "select", {}) for name in "abc"]
    states = {"a": CellState(DONE, 2.0), "b": CellState(DONE, 4.0), "c": CellState()}
    assert estimates(cells, states, {})["c"] == 3


def test_learners_are_told_apart():
    big = {"content": {"learner": "big"}, "work": {"learner_step": 10}}
    small = {"content": {"learner": "small"}, "work": {"learner_step": 10}}
    cells = [Cell("a", "evaluate-learner", {}, **big), Cell("b", "evaluate-learner", {}, **small)]
    states = {"a": CellState(DONE, 100.0), "b": CellState()}
    assert estimates(cells, states, {"learner_step": 1.0})["b"] == 10


@pytest.mark.parametrize("rates", [{"querry": 1}, {"query": "1"}, {"query": -1}, {"query": True}])
def test_mistakes_in_rates(rates):
    with pytest.raises(UserError, match="--rates"):
        check_rates(rates)
