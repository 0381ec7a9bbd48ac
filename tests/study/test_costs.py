# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""How long the cells that are left will take, by those that are done."""

import json

import pytest

from ddg_hf.errors import UserError
from ddg_hf.study.costs import check_rates, cost_of, estimates
from ddg_hf.study.flops import TextTokens
from ddg_hf.study.plan import Cell
from ddg_hf.study.runner import DONE, CellState, StudyDirectory
from tests import tiny_models


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


def test_repeated_prompts_cost_nothing(tmp_path):
    tiny_models.make_gpt2(300).save_pretrained(tmp_path / "model")
    cell = Cell("icl/k_centers/dpc_1", "evaluate-icl", {}, dpc=1)
    directory, flops = StudyDirectory(tmp_path, [cell]), []
    output = directory.output(cell.name)
    output.mkdir(parents=True)
    (output / "metadata.json").write_text(json.dumps({"arguments": {"model": str(tmp_path / "model")}}))
    first = {"num_queries": 5, "prefix_tokens": 20, "seconds": 1.5}
    for runs in ([first], [first, first | {"seconds": 0.0}], [first, first]):
        (output / "results.json").write_text(json.dumps({"runs": runs}))
        states = {cell.name: CellState(DONE, 1.5)}
        flops.append(cost_of([cell], directory, states, TextTokens(10.0, 10.0))["flops"])
    assert flops[0] == flops[1] and flops[2] == 2 * flops[0] > 0


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
