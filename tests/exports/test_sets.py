# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which rows are exported, in which order."""

import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.demonstrations import DemonstrationSet
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.evaluation.icl_jobs import make_jobs
from ddg_hf.exports.sets import choose_set, in_prompt_order
from ddg_hf.generation import DistilledRow


def rows(number: int) -> list[DistilledRow]:
    return [DistilledRow((f"{label} {i}",), label, number, 1.0) for label in range(3) for i in range(4)]


@pytest.mark.parametrize("order", ["interleaved", "sorted"])
@pytest.mark.parametrize("rounds", [None, 3])
def test_order_is_that_of_the_evaluation(order, rounds):
    arguments = ICLEvaluationArguments(distilled="x", rounds=rounds, order_by=order)
    members = [DemonstrationSet(7, tuple((row.texts, row.label) for row in rows(7)))]
    (job,) = make_jobs(arguments, {4: members}, 3, [], seed=5)
    assert in_prompt_order(rows(7), "dpc_4", 3, rounds, 5, order) == job.demonstrations
    assert in_prompt_order(rows(7), "dpc_4", 3, rounds, 6, order) != job.demonstrations


def test_choice_of_the_set():
    sets = {number: rows(number) for number in (3, 5)}
    assert (choose_set(sets, None), choose_set(sets, 5)) == (3, 5)
    with pytest.raises(UserError, match="no set 0; the sets are 3, 5"):
        choose_set(sets, 0)
