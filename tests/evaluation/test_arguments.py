# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Which sets are evaluated on which rows: the arguments that both evaluations share."""

import pytest

from ddg_hf.errors import UserError
from ddg_hf.evaluation.arguments import KINDS, NEEDS_ENCODER, REAL_ROWS, RETRIEVED
from ddg_hf.evaluation.icl.config import ICLEvaluationArguments
from ddg_hf.evaluation.learner import LearnerEvaluationArguments

both = pytest.mark.parametrize("arguments", [ICLEvaluationArguments, LearnerEvaluationArguments])


@both
def test_balanced_rows_unless_sets_are_given(arguments, tmp_path):
    assert (arguments().distilled, arguments().demonstrations) == (None, "balanced")
    given = arguments(distilled=str(tmp_path))
    assert (given.distilled, given.demonstrations) == (str(tmp_path), None)


@both
@pytest.mark.parametrize("kind", ["balanced", "random", "k_centers", "herding"])
def test_kinds_of_rows(arguments, kind):
    assert (arguments(demonstrations=kind).demonstrations, arguments(demonstrations=kind).distilled) == (kind, None)


@both
def test_demonstrations_may_be_a_directory_or_hub_id(arguments, tmp_path, monkeypatch):
    (tmp_path / "sets").mkdir()
    monkeypatch.chdir(tmp_path)
    for source in (str(tmp_path), "sets", "someone/sets"):
        given = arguments(demonstrations=source)
        assert (given.distilled, given.demonstrations) == (source, None)


@both
def test_demonstrations_may_be_a_file(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.jsonl", "mine.json", "mine.txt", "mine"):
        (tmp_path / name).write_text("{}")
        for source in (name, str(tmp_path / name)):
            given = arguments(demonstrations=source)
            assert (given.distilled, given.demonstrations) == (source, None)
    for source in ("nowhere.jsonl", "folder/nowhere.json"):
        with pytest.raises(UserError, match=f"there is no file '{source}'"):
            arguments(demonstrations=source)


@pytest.mark.parametrize("kind", ["zero_shot", "bm25", "topk"])
def test_kinds_for_prompts_alone(kind):
    assert ICLEvaluationArguments(demonstrations=kind).demonstrations == kind
    with pytest.raises(UserError, match=f"unknown demonstrations '{kind}'"):
        LearnerEvaluationArguments(demonstrations=kind)


def test_kinds_are_told_apart():
    assert set(KINDS) == {"zero_shot", *REAL_ROWS, *RETRIEVED} and set(NEEDS_ENCODER) < set(KINDS)


@both
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"demonstrations": "k_center"}, r"unknown demonstrations 'k_center'\. Did you mean 'k_centers'\?"),
        ({"demonstrations": "random", "distilled": "x"}, "exclude each other"),
        ({"dpc": [0]}, r"--dpc must be one or more numbers of at least 1, got \[0\]"),
        ({"dpc": [5, -1]}, "--dpc must be"),
        ({"dpc": []}, "--dpc must be"),
        ({"num_sets": 0}, "--num_sets must be at least 1, got 0"),
        ({"num_sets": -1}, "--num_sets must be at least 1, got -1"),
        ({"test_number": 0}, "--test_number must be at least 1, got 0"),
        ({"test_number": -1}, "--test_number must be at least 1, got -1"),
    ],
)
def test_mistakes(arguments, values, message):
    with pytest.raises(UserError, match=message):
        arguments(**values)


@pytest.mark.parametrize("name", ["rounds", "orders", "token_budget"])
def test_mistakes_of_the_prompt(name):
    with pytest.raises(UserError, match=f"--{name} must be at least 1, got 0"):
        ICLEvaluationArguments(**{name: 0})


@pytest.mark.parametrize("name", ["num_seeds", "train_steps", "learning_rate", "batch_size"])
def test_mistakes_of_the_training(name):
    with pytest.raises(UserError, match=f"--{name} must be positive, got 0"):
        LearnerEvaluationArguments(**{name: 0})
