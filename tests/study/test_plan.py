# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The grid of a study: pure functions of its arguments."""

import importlib
import shutil
from pathlib import Path

import pytest

from ddg_hf.cli import COMMANDS
from ddg_hf.configs import DataArguments, RecipeParser, RunArguments
from ddg_hf.errors import UserError
from ddg_hf.study.config import StudyArguments
from ddg_hf.study.costs import check_rates, estimates
from ddg_hf.study.methods import METHODS
from ddg_hf.study.plan import fingerprints, make_plan, to_flags
from ddg_hf.study.runner import CellState
from ddg_hf.study.sources import GivenSets, content_fingerprint

RECIPES = Path(__file__).parents[2] / "recipes"


def plan(methods, seed=42, offered=(5,), data=None, **options):
    arguments = StudyArguments(methods=list(methods), generator="tiny", learner="tiny", model="m", **options)
    data = data or DataArguments(task="toy")
    return make_plan(arguments, data, seed, lambda source: GivenSets(dict.fromkeys(offered, 3), "f" * 64))


def by_name(cells):
    assert len({cell.name for cell in cells}) == len(cells)
    return {cell.name: cell for cell in cells}


def test_every_cell_comes_after_those_that_it_needs():
    names = [name for name in METHODS] + ["ddg+likelihood", "herding+likelihood"]
    cells = plan(names, dpc=[1, 5], training_seeds=2, split="test", test_number=10)
    seen = set()
    for cell in cells:
        assert set(cell.needs) <= seen, cell.name
        seen.add(cell.name)
    measured = {cell.method for cell in cells if cell.stage == "evaluate-icl"}
    assert measured == set(names)


def test_trained_methods_share_their_pretraining():
    cells = by_name(plan(["lm_only", "dilm", "ddg", "generator_loss"], training_seeds=2))
    assert [name for name in cells if name.startswith("pretrain/")] == ["pretrain/seed_0", "pretrain/seed_1"]
    assert cells["distill/ema/seed_1"].needs == cells["distill/shared/seed_1"].needs == ("pretrain/seed_1",)
    assert cells["sets/ddg/seed_1"].needs == ("distill/ema/seed_1",)
    assert cells["sets/lm_only/seed_0"].needs == cells["sets/generator_loss/seed_0"].needs == ("pretrain/seed_0",)
    assert cells["distill/ema/seed_0"].options["student"] == "ema"


def test_seeds_differ_where_something_is_trained_and_queries_do_not():
    cells = by_name(plan(["ddg"], training_seeds=2, seed=7, test_number=10))
    assert [cells[f"pretrain/seed_{s}"].options["seed"] for s in (0, 1)] == [7, 8]
    assert [cells[f"sets/ddg/seed_{s}"].options["seed"] for s in (0, 1)] == [7, 8]
    assert [cells[f"icl/ddg/seed_{s}/dpc_5"].options["seed"] for s in (0, 1)] == [7, 7]
    assert {cell.options["split_seed"] for cell in cells.values()} == {7}


def test_numbers_of_sets_and_seeds_by_method():
    cells = by_name(
        plan(
            ["balanced", "ddg", "dilm"],
            num_sets=3,
            set_counts={"balanced": 30},
            training_seeds=3,
            seed_counts={"dilm": 1},
            test_number=10,
        )
    )
    assert cells["sets/balanced"].options["num_sets"] == 30 and cells["sets/ddg/seed_2"].options["num_sets"] == 3
    assert cells["icl/balanced/dpc_5"].work == {"query": 300}
    assert sum(name.startswith("distill/shared/") for name in cells) == 1
    assert sum(name.startswith("distill/ema/") for name in cells) == 3


def test_reranked_sets_are_chosen_from_more_with_other_names():
    cells = by_name(
        plan(["ddg", "ddg+likelihood"], num_sets=5, likelihood_candidates=4, likelihood_queries=16, split="test")
    )
    assert cells["candidates/ddg+likelihood/seed_0"].options["num_sets"] == 20
    assert cells["candidates/ddg+likelihood/seed_0"].needs == ("distill/ema/seed_0",)
    chosen = cells["sets/ddg+likelihood/seed_0"]
    assert chosen.stage == "rerank" and chosen.options["split"] == "validation"
    assert chosen.work == {"query": 20 * 16}
    assert cells["icl/ddg+likelihood/seed_0/dpc_5"].options["num_sets"] == 5


def test_given_sets_are_tested_at_the_sizes_that_they_have():
    cells = plan(["balanced"], given={"published": "somewhere"}, dpc=[1, 5, 10], offered=(5, 10, 20))
    icl = [cell for cell in cells if cell.method == "published" and cell.stage == "evaluate-icl"]
    assert [cell.options["dpc"] for cell in icl] == [[5], [10]]
    assert all(cell.options["distilled"] == "somewhere" and not cell.inputs for cell in icl)
    with pytest.raises(UserError, match="none of --dpc 1"):
        plan(["published"], given={"published": "somewhere"}, dpc=[1])


def test_more_numbers_do_not_change_how_many_given_sets_are_evaluated():
    arguments = StudyArguments(methods=["balanced"], given={"mine": "somewhere"}, model="m", dpc=[5])
    more = StudyArguments(methods=["balanced"], given={"mine": "somewhere"}, model="m", dpc=[5, 20])
    first, second = (
        make_plan(chosen, DataArguments(task="toy"), 42, lambda source: GivenSets({5: 10, 20: 3}, "f"))
        for chosen in (arguments, more)
    )
    before, after = fingerprints(first), fingerprints(second)
    assert {name: after[name] for name in before} == before
    sets = {cell.name: cell.options["num_sets"] for cell in second if cell.method == "mine"}
    assert (sets["icl/mine/dpc_5"], sets["icl/mine/dpc_20"]) == (10, 3)
    assert sets["measure/mine"] is None, "all that there are"


def test_classifiers_can_have_fewer_sets_and_sizes():
    cells = by_name(
        plan(["balanced"], dpc=[1, 5], num_sets=30, learner_sets=5, learner_dpc=[5], unseen_learners=["b"])
    )
    for learner in ("tiny", "b"):
        cell = cells[f"learner/{learner}/balanced"]
        assert cell.options["num_sets"] == 5 and cell.options["dpc"] == [5] and cell.options["learner"] == learner
        assert cell.work == {"learner_step": 5 * 200 * 5}


def test_options_reach_their_command():
    cells = plan(
        ["ddg"], options={"distill": {"max_steps": 7, "learning_rate": 1e-5}, "evaluate-icl": {"dtype": "bfloat16"}}
    )
    for cell in cells:
        assert (cell.options.get("max_steps") == 7) == (cell.stage == "distill")
        assert (cell.options.get("dtype") == "bfloat16") == (cell.stage == "evaluate-icl")


def test_options_of_the_student_are_not_those_of_dilm():
    before, after = (
        fingerprints(plan(["dilm", "ddg"], options={"distill": {"max_steps": 3} | more}))
        for more in ({}, {"ema_decay": 0.9, "student_head": "independent"})
    )
    changed = {name for name in before if before[name] != after[name]}
    assert "distill/ema/seed_0" in changed and "sets/ddg/seed_0" in changed
    assert not {name for name in changed if "ema" not in name and "ddg" not in name}


def test_flags():
    flags = to_flags({"a": 1, "b": None, "c": [1, 2], "d": True, "e": {"k": 1}, "f": "x y", "g": 3e-3})
    assert flags == ["--a", "1", "--c", "1", "2", "--d", "true", "--e", '{"k": 1}', "--f", "x y", "--g", "0.003"]


def test_fingerprints_follow_what_a_cell_depends_on():
    before = fingerprints(plan(["balanced", "ddg"]))
    after = fingerprints(plan(["balanced", "ddg"], options={"pretrain": {"max_steps": 3}}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if "balanced" not in name}
    grown = fingerprints(
        plan(["zero_shot", "balanced", "k_centers", "ddg"], num_workers=2, dpc=[1, 5], training_seeds=2)
    )
    assert {name: grown[name] for name in before} == before
    other = fingerprints(plan(["balanced", "ddg"], num_sets=7))
    assert {name for name in before if before[name] == other[name]} == {"pretrain/seed_0", "distill/ema/seed_0"}


def test_where_things_are_does_not_matter(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("{}")
    (tmp_path / "a" / "model.safetensors").write_bytes(bytes(200_000))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert content_fingerprint(str(tmp_path / "a")) == content_fingerprint(str(tmp_path / "b"))

    def found(model, data_dir):
        arguments = StudyArguments(methods=["balanced"], model=str(model))
        return fingerprints(make_plan(arguments, DataArguments(task="toy", data_dir=data_dir), 42, None))

    assert found(tmp_path / "a", "x") == found(tmp_path / "b", "y")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("[]")
    assert found(tmp_path / "a", "x") != found(tmp_path / "c", "x")


def test_given_sets_are_known_by_their_content():
    arguments = StudyArguments(methods=["balanced"], given={"mine": "somewhere"})
    first, second = (
        fingerprints(make_plan(arguments, DataArguments(task="toy"), 42, lambda source, f=f: GivenSets({5: 2}, f)))
        for f in ("a", "b")
    )
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {name for name in first if "mine" in name} and len(changed) == 3


def test_learners_of_one_name_are_told_apart():
    cells = by_name(plan(["balanced"], unseen_learners=["x/a/base", "x/b/base", "c"]))
    names = {name.split("/")[1] for name in cells if name.startswith("learner/")}
    assert names == {"tiny", "base", "b--base", "c"}, "the first one keeps its name when the second is added"
    cells = by_name(plan(["balanced"], unseen_learners=["/a/x/m", "/b/x/m", "/c/x/m"]))
    assert {"learner/m/balanced", "learner/x--m/balanced", "learner/c--x--m/balanced"} <= set(cells)
    with pytest.raises(UserError, match="told apart"):
        plan(["balanced"], unseen_learners=[".."])


def test_candidates_are_other_sets_and_prompts_are_those_of_the_evaluation():
    cells = by_name(
        plan(
            ["balanced", "balanced+likelihood"],
            split="test",
            options={"evaluate-icl": {"dtype": "bfloat16", "scoring": "likelihood", "orders": 3}},
        )
    )
    assert cells["candidates/balanced+likelihood"].options["seed"] != cells["sets/balanced"].options["seed"]
    chosen = cells["sets/balanced+likelihood"].options
    assert chosen["dtype"] == "bfloat16" and not {"scoring", "orders"} & set(chosen)


@pytest.mark.parametrize(
    ("stage", "option"),
    [
        ("evaluate-icl", "split"),
        ("select", "demonstrations"),
        ("distill", "student"),
        ("generate", "seed"),
        ("generate", "generator"),
        ("pretrain", "task"),
        ("measure", "output_dir"),
    ],
)
def test_what_the_study_sets_is_no_option(stage, option):
    with pytest.raises(UserError, match=f"{stage}: '{option}' is set by the study"):
        plan(["balanced", "ddg"], options={stage: {option: "x"}})


def parse_all(cells, directory, monkeypatch):
    """Each command gets as far as its work, which is left out. Returns how many."""
    parsed = []

    class Stop(Exception):
        pass

    original = RecipeParser.parse

    def parse(self, argv=None):
        parsed.append(original(self, argv))
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(RecipeParser, "parse", parse)
        for cell in cells:
            with pytest.raises(Stop):
                importlib.import_module(COMMANDS[cell.stage][0]).main(cell.arguments(lambda name: directory / name))
    return len(parsed)


def test_every_command_line_is_accepted_by_the_parser_of_its_command(tmp_path, monkeypatch):
    cells = plan([*METHODS, "dpp+likelihood"], split="test", test_number=4, unseen_learners=["tiny-xlnet"])
    assert parse_all(cells, tmp_path, monkeypatch) == len(cells)


@pytest.mark.parametrize("config", sorted(RECIPES.glob("*/study*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_studies_of_the_recipes(config, tmp_path, monkeypatch):
    argv = ["--config", str(config), "--generator", "g", "--learner", "l", "--model", "m"]
    data, arguments, run = RecipeParser((DataArguments, StudyArguments, RunArguments)).parse(argv)
    assert (data.task or Path(data.dataset).stem) == config.parent.name and run.output_dir
    check_rates(arguments.rates)
    cells = make_plan(arguments, data, run.seed, None)
    assert parse_all(cells, tmp_path, monkeypatch) == len(cells)
    everything = {cell.name: CellState() for cell in cells}
    if arguments.rates:  # the file was made for a machine that is known
        assert all(estimates(cells, everything, arguments.rates)[cell.name] for cell in cells if cell.work)


def test_a_short_name_is_resolved_for_all_commands():
    arguments = StudyArguments(methods=["balanced", "self_generated"], learner="tiny", model="qwen")
    assert arguments.model.startswith("Qwen/")
    cells = make_plan(arguments, DataArguments(task="toy"), 42, None)
    named = [cell.options["model"] for cell in cells if "model" in cell.options]
    named += [cell.options["generator"] for cell in cells if cell.options.get("self_generated")]
    assert len(named) > 4 and set(named) == {arguments.model}


def test_a_generator_is_needed_where_one_is_trained():
    with pytest.raises(UserError, match="--generator is missing"):
        make_plan(StudyArguments(methods=["ddg"]), DataArguments(task="toy"), 42, None)
    assert make_plan(StudyArguments(methods=["k_centers"]), DataArguments(task="toy"), 42, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["ddgg"]}, "unknown method 'ddgg'. Did you mean 'ddg'"),
        ({"methods": ["random+likelihood"]}, "unknown method 'random\\+likelihood'"),
        ({"methods": ["bm25+likelihood"]}, "unknown method"),
        ({"methods": ["ddg", "ddg"]}, "different names"),
        ({"methods": ["ddg+likelihood"]}, "--split test"),
        ({"dpc": [0]}, "--dpc"),
        ({"num_sets": 0}, "--num_sets"),
        ({"set_counts": {"dgd": 3}}, "unknown method 'dgd'"),
        ({"set_counts": {"zero_shot": 3}}, "'zero_shot' has no sets"),
        ({"seed_counts": {"balanced": 3}}, "nothing is trained for 'balanced'"),
        ({"dpc": [5, 5]}, "different positive numbers"),
        ({"learner_dpc": []}, "--learner_dpc"),
        ({"given": {"ddg": "x"}}, "'ddg' must be a name"),
        ({"given": {"a/b": "x"}}, "'a/b' must be a name"),
        ({"given": {"mine": None}}, "'mine' must be a name"),
        (
            {"options": {"distill": {"validation_sets": 3, "load_best_model_at_end": True}}, "split": "validation"},
            "--split test",
        ),
        ({"set_counts": {"ddg": "3"}}, "--set_counts: ddg"),
        ({"set_counts": "{"}, "--set_counts is not JSON"),
        ({"options": {"distil": {}}}, "no command 'distil'. Did you mean 'distill'"),
        ({"options": {"distill": 3}}, "must be a mapping"),
        ({"options": {"evaluate-icl": {"api_key": "secret"}}}, "api_key does not belong into a study"),
        ({"learner_dpc": [3]}, "--learner_dpc 3"),
        ({"test_number": 0}, "--test_number"),
        ({"model": "baichuan"}, "the model 'baichuan'"),
        ({"model": None}, "--model is missing"),
        ({"options": {"evaluate-icl": None}}, "evaluate-icl must be a mapping"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UserError, match=message):
        StudyArguments(**{"methods": ["ddg", "balanced"], "generator": "tiny", **changes})
