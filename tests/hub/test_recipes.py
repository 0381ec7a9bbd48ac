# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf push`, `pull` and what evaluates published sets, as commands."""

import json
import sys

import pyarrow.parquet as pq
import pytest

from ddg_hf import cli
from tests import tiny_models
from tests.hub.sets import write_results, write_sets

pytestmark = pytest.mark.usefixtures("waits")

REPOSITORY = "user/toy-ddg"


def test_the_token_appears_nowhere(hub, tmp_path):
    """Not in what is printed when all goes well or everything fails, nor in what is written or published."""
    directory = write_sets(tmp_path / "sets", note=hub.token)
    results = write_results(tmp_path / "icl", directory, model=hub.token)
    command = [sys.executable, "-m", "ddg_hf.cli"]
    outputs = [hub.run(*command, "push", str(directory), REPOSITORY, "--results", str(results), "--private")]
    outputs.append(hub.run(*command, "pull", REPOSITORY, "--output_dir", str(tmp_path / "pulled")))
    assert [output.returncode for output in outputs] == [0, 0], outputs
    for target in ("other/toy-ddg", "user/nothing"):
        outputs.append(hub.run(*command, "pull", target, "--output_dir", str(tmp_path / "nothing")))
    hub.faults.status(403, r"/commit/|/preupload/", times=100)
    outputs.append(hub.run(*command, "push", str(write_sets(tmp_path / "b", text="b")), REPOSITORY))
    assert [output.returncode for output in outputs[2:]] == [2, 2, 2]
    files = [path.read_bytes() for path in (tmp_path / "pulled").rglob("*") if path.is_file()]
    printed = "".join(output.stdout + output.stderr for output in outputs)
    assert "Traceback" not in printed
    everything = [printed.encode(), *hub.contents(REPOSITORY).values(), *files]
    assert not any(hub.token.encode() in content for content in everything)


def test_published_sets_give_the_results_of_the_directory(hub, tmp_path, capsys):
    directory = write_sets(tmp_path / "sets", sizes=(1,))
    model = tmp_path / "model"
    tiny_models.make_gpt2(vocab_size=len(tiny_models.build_tiny_tokenizer()), n_positions=1024).save_pretrained(model)
    tiny_models.build_tiny_tokenizer().save_pretrained(model)
    assert cli.main(["push", str(directory), REPOSITORY]) == 0
    assert "published: " in capsys.readouterr().out
    assert cli.main(["pull", REPOSITORY, "--output_dir", str(tmp_path / "pulled")]) == 0
    assert "dpc_1: 12 rows, 2 sets" in capsys.readouterr().out
    tables = []
    for name, source in (("a", directory), ("b", tmp_path / "pulled"), ("c", REPOSITORY)):
        command = ["evaluate-icl", "--task", "toy", "--model", str(model), "--distilled", str(source)]
        command += ["--dpc", "1", "--test_number", "12", "--output_dir", str(tmp_path / name)]
        assert cli.main(command) == 0
        tables.append(pq.read_table(tmp_path / name / "predictions.parquet"))
    assert tables[0].equals(tables[1]) and tables[0].equals(tables[2])
    assert cli.main(["push", str(directory), REPOSITORY, "--results", str(tmp_path / "a")]) == 0
    assert "in context, likelihood" in hub.contents(REPOSITORY)["README.md"].decode()
    assert cli.main(["push", str(directory), REPOSITORY, "--results", str(tmp_path / "a")]) == 0
    assert "nothing has changed: " in capsys.readouterr().out


def test_results_as_json(hub, tmp_path, capsys):
    directory = write_sets(tmp_path / "sets", sizes=(1,))
    results = []
    for command in (["push", str(directory), REPOSITORY], ["pull", REPOSITORY, "--output_dir", str(tmp_path / "p")]):
        assert cli.main([*command, "--json", "--quiet"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        results.append(json.loads(out))
    pushed, pulled = results
    assert (pushed["command"], pushed["changed"], pushed["directory"]) == ("push", True, str(directory))
    assert (pulled["command"], pulled["output_dir"]) == ("pull", str(tmp_path / "p"))
    assert pulled["configs"] == {"dpc_1": {"rows": 12, "sets": 2}} and pulled["commit"] == pushed["commit"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["push"], "required: directory, repository"),
        (["push", "nowhere", REPOSITORY], "'nowhere' is no directory of distilled sets"),
        (["push", "{sets}", "toy"], "form user/name"),
        (["push", "{sets}", REPOSITORY, "--results", "nowhere"], "cannot read the results in 'nowhere'"),
        (["push", "{sets}", REPOSITORY, "--license", "my own"], "license"),
        (["pull", REPOSITORY, "--output_dir", "{sets}"], "is there already; pass --overwrite"),
        (["pull", "user/nothing", "--output_dir", "{new}"], "no such repository"),
    ],
)
def test_mistakes_are_one_line(hub, tmp_path, capsys, arguments, message):
    places = {"{sets}": str(write_sets(tmp_path / "sets")), "{new}": str(tmp_path / "new")}
    assert cli.main([places.get(argument, argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "new").exists()
    assert not hub.writes


def test_without_the_network_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 20)
    assert cli.main(["push", str(write_sets(tmp_path / "sets")), REPOSITORY]) == 2
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
