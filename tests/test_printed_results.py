# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`--quiet` and `--json` of every command, on tiny models."""

import contextlib
import io
import json
import re

import pytest

from ddg_hf import cli, terminal
from tests import tiny_models
from tests.docs.commands import options_of
from tests.test_export_recipe import TOY, write_sets

TRAINING = "--task toy --learner tiny --seed 1 --save_strategy no --probe_samples 2 --logging_steps 1"
DISTILL = (
    "--max_steps 2 --inner_steps 2 --learner_steps 1 --learner_batch_size 8 --synthetic_per_class 4 "
    "--pool_per_class 8 --real_per_class 6 --teacher_sets 2 --eval_snapshots 1 --held_out_samples 4 "
    "--learning_rate 1e-4"
)
BALANCED = "--task toy --demonstrations balanced --dpc 1 --num_sets 2 --test_number 12"
# Command lines in a directory with `model`, `sets` and `texts.jsonl`, in an order in which each finds what it needs;
# and what the result has besides its command.
COMMANDS = {
    "pretrain": (
        f"{TRAINING} --generator_config tiny --max_steps 80 --learning_rate 1e-2 --per_device_train_batch_size 16 "
        "--output_dir pretrain",
        "output_dir last_logged metrics",
    ),
    "distill": (
        f"{TRAINING} {DISTILL} --generator pretrain --output_dir distill",
        "output_dir last_logged metrics",
    ),
    "generate": (
        "--task toy --learner tiny --generator distill --dpc 1 --num_sets 2 --over_sample_ratio 4 --output_dir made",
        "output_dir configs sampling checks_found",
    ),
    "select": (
        "--task toy --demonstrations balanced --dpc 1 --num_sets 2 --output_dir chosen",
        "output_dir demonstrations configs",
    ),
    "rerank": (
        "--task toy --distilled chosen --candidates 2 -m model --test_number 6 --output_dir best",
        "output_dir kept scores",
    ),
    "measure": (
        "--task toy --distilled chosen --learner tiny -m model --snapshots 1 --snapshot_steps 1 --real_per_class 4 "
        "--output_dir measures",
        "output_dir task sets configs",
    ),
    "evaluate-learner": (
        f"{BALANCED} --learner tiny --num_seeds 1 --train_steps 1 --output_dir learner",
        "output_dir task learner training_rows split aggregates",
    ),
    "evaluate-icl": (f"{BALANCED} -m model --output_dir icl", "output_dir task model demonstrations aggregates"),
    "compare": ("icl icl --output comparison.json", "a b task prediction rows"),
    "check": ("sets", "checks configs status"),
    "convert": ("texts.jsonl texts.parquet", "output rows columns label_names"),
    "export": ("sets --format csv --output sets.csv", "output format config sets"),
}
# What commands say on standard output and with `--quiet` do not.
SAYS = {
    "pretrain": "generator: pretrain_again",
    "distill": "distill evaluation at step 2: ",
    "generate": "distilled sets: generate_again",
    "select": "sets of training rows: select_again",
    "rerank": "dpc_1: kept the sets ",
    "measure": "dpc 1: gradient cosine ",
    "evaluate-learner": "balanced, 1 per class: accuracy ",
    "evaluate-icl": "toy: accuracy in %, 95 % interval",
    "compare": "a - b, 95 % interval",
    "check": "checks: sets",
    "convert": "2 rows in texts.parquet",
}


def run(*argv) -> tuple[int, str, str]:
    """Runs a command; returns its exit code and what it printed on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(argument) for argument in argv])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A directory in which the commands below run: with a language model, sets and a file of texts."""
    path = tmp_path_factory.mktemp("world")
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=2048)
    tiny_models.make_gpt2(len(tokenizer), n_positions=2048).save_pretrained(path / "model")
    tokenizer.save_pretrained(path / "model")
    write_sets(path / "sets", TOY)
    rows = [{"text": "a", "label": "[red]x[/red]"}, {"text": "b", "label": "y\x1b[31m"}]
    (path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def printed(world):
    """What every command prints with `--json` in the middle of its options, and then normally and with `--quiet`."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        for name, (line, _) in COMMANDS.items():
            words = [name, *line.split()]
            middle = 3 if name == "compare" else 2
            found[name, "--json"] = run(*words[:middle], "--json", *words[middle:])
            again = ["--output_dir", f"{name}_again"] if "--output_dir" in words else []
            again += ["--overwrite"] if name not in ("compare", "check") else []
            again += ["--max_steps", 1] if name == "pretrain" else []
            found[name, ""] = run(*words, *again)
            found[name, "--quiet"] = run(*words, *again, "--quiet")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_one_json_object(printed, name):
    code, out, err = printed[name, "--json"]
    result = json.loads(out)
    assert (code, out.isascii()) == (0, True), err
    assert set(result) >= set(COMMANDS[name][1].split())
    assert name == "check" or result["command"] == name


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_quiet(printed, name):
    code, out, err = printed[name, "--quiet"]
    assert (code, out) == (0, "")
    # Others warn in their own way; we print neither progress nor what is worth knowing.
    assert not re.search(r"(in|eta) \d+ (s|min)\b|^teacher sets", err, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_normally_it_is_said(printed, name):
    code, out, err = printed[name, ""]
    assert code == 0
    assert SAYS[name] in out if name in SAYS else "written: sets.csv" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "option", "line"),
    [
        ("pretrain", "--json", "pretrain step 80/80 loss "),
        ("distill", "--json", "teacher sets set 2/2 in "),
        ("distill", "", "distill step 2/2 loss "),
        ("generate", "--json", "sampling text 48/48 in "),
        ("evaluate-learner", "", "training classifier 2/2 in "),
        ("evaluate-icl", "--json", " query 24/24 in "),
    ],
)
def test_progress(printed, name, option, line):
    assert line in printed[name, option][2]


@pytest.mark.slow
def test_results_are_those_in_the_files(printed, world):
    def result(name: str) -> dict:
        return json.loads(printed[name, "--json"][1])

    def file(name: str) -> dict:
        return json.loads((world / name).read_text())

    for stage in ("pretrain", "distill"):
        assert result(stage)["metrics"] == file(f"{stage}/metadata.json")["metrics"]
        assert result(stage)["last_logged"]["step"] == (80 if stage == "pretrain" else 2)
        assert not {"quiet", "json"} & set(file(f"{stage}/metadata.json")["arguments"])
    assert result("generate")["sampling"] == file("made/metadata.json")["sampling"]
    assert result("select")["configs"] == {"dpc_1": 2} and len(result("rerank")["kept"]["dpc_1"]) == 1
    assert result("measure")["configs"] == file("measures/measures.json")["configs"]
    for name, directory in (("evaluate-learner", "learner"), ("evaluate-icl", "icl")):
        assert result(name)["aggregates"] == file(f"{directory}/results.json")["aggregates"]
        assert "runs" not in result(name)
    assert result("compare") == {"command": "compare"} | file("comparison.json")
    assert result("check") == file("sets/checks.json")


def test_what_is_asked_for_is_printed_though_it_is_quiet(world):
    argv = ["export", world / "sets", "--format", "prompt"]
    content = run(*argv)[1]
    assert content and run(*argv, "--quiet") == (0, content, "")
    code, out, _ = run(*argv, "--json")
    assert json.loads(out) == {
        "command": "export",
        "output": None,
        "format": "prompt",
        "config": "dpc_2",
        "sets": [0],
        "content": content,
    }


def test_markup_in_labels_stays_text(world):
    names = "[red]x[/red],y\x1b[31m"
    code, out, _ = run("convert", world / "texts.jsonl", world / "marked.csv", "--label_names", names)
    assert code == 0 and r"labels [red]x[/red], y\x1b[31m" in out and "\x1b" not in out


def test_a_check_that_finds_something_has_its_result(world):
    (world / "copies.csv").write_text("text,label\ntext 0 0 0 {x},praise\n")
    code, out, err = run("check", world / "sets", "--train", world / "copies.csv", "--fail_on", "copies", "--json")
    assert (code, err) == (1, "found something: copies\n") and json.loads(out)["checks"]["copies"]["status"] == "warn"


@pytest.mark.parametrize("options", [["--json"], ["--quiet"], ["--quiet", "--json"]])
@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_a_mistake_is_one_line(name, options):
    code, out, err = run(name, *options, "--no_such_option")
    assert (code, out) == (2, "") and err.startswith("error: unknown argument '--no_such_option'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_help_lists_the_options(name):
    assert set(terminal.OPTIONS) <= options_of(cli.COMMANDS[name][0].split(".")[-1])


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_no_configuration_file_has_them(name, tmp_path):
    (tmp_path / "config.yaml").write_text("quiet: true\n")
    code, _, err = run(name, "--config", tmp_path / "config.yaml")
    assert code == 2 and ("unknown key 'quiet'" in err or "error: " in err)
