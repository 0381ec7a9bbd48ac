# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""`ddg-hf generate`: the directory is there once its checks are, and with them, or with the error of a check."""

import json

import pytest

from ddg_hf import cli, quality
from ddg_hf.data.tasks import TASKS
from ddg_hf.errors import UserError
from ddg_hf.formats.directory import open_distilled
from ddg_hf.models.generator import Generator, chunk_size
from ddg_hf.models.self_generator import SelfGenerator
from tests import tiny_models


@pytest.fixture
def generate(tmp_path, monkeypatch, capsys):
    """Runs the command with a model that writes what it is told; returns its exit code and its two streams."""
    tokenizer = tiny_models.build_tiny_tokenizer(model_max_length=512)
    generator = SelfGenerator(tiny_models.make_gpt2(len(tokenizer), n_positions=512).eval(), tokenizer, TASKS["toy"])

    def sample(self, label, chunk, *seed_parts, **settings):
        texts = [f"text {i} of {label} in {seed_parts[-1]}" for i in range(chunk_size(chunk))]
        return [self.format.encode_target([text]) for text in texts]

    monkeypatch.setattr(SelfGenerator, "load", lambda name, args, spec: generator)
    monkeypatch.setattr(SelfGenerator, "sample", sample)

    def run(*argv) -> tuple[int, str, str]:
        options = "--task toy --learner tiny --generator some --self_generated true --dpc 1 --num_sets 2"
        options += " --over_sample_ratio 2 --selection random"
        code = cli.main(["generate", *options.split(), "--output_dir", str(tmp_path / "made"), *argv])
        return code, *capsys.readouterr()

    return run


def files(directory) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_the_directory_appears_with_its_checks(generate, tmp_path, monkeypatch):
    seen, run_checks = [], quality.run_checks

    def record(directory, *arguments):
        seen.append((directory.path, (tmp_path / "made").exists()))
        return run_checks(directory, *arguments)

    monkeypatch.setattr(quality, "run_checks", record)
    code, out, err = generate("--json")
    assert code == 0, err
    made = tmp_path / "made"
    ((path, existed),) = seen
    assert path.parent == tmp_path and path != made and not existed
    assert files(made) == {"README.md", "checks.json", "dpc_1/train.parquet", "metadata.json"}
    assert [one.name for one in tmp_path.iterdir()] == ["made"]
    card, checks = (made / "README.md").read_text(), json.loads((made / "checks.json").read_text())
    assert "No checks were made" not in card and path.name not in card
    assert checks["checks"]["copies"]["status"] != "not_run" and checks["task"] == "toy"
    assert json.loads(out)["checks_found"] == quality.found_by(checks, ["any"])


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("no such check"), 2), (ValueError("no such check"), 1)], ids=["mistake", "bug"]
)
def test_a_failing_check_does_not_lose_the_sets(generate, tmp_path, monkeypatch, error, code):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(quality, "run_checks", fail)
    if code == 1:
        with pytest.raises(ValueError, match="no such check"):
            generate()
    else:
        found, _, err = generate()
        assert found == code and err.endswith("error: no such check\n")
        assert f"without checks in {tmp_path / 'made'}" in err
    assert files(tmp_path / "made") == {"README.md", "dpc_1/train.parquet", "metadata.json"}
    assert set(open_distilled(tmp_path / "made").sets("dpc_1")) == {0, 1}


def test_a_kill_during_the_checks_leaves_no_finished_directory(generate, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "run_checks", interrupt)
    assert generate()[0] == 130
    assert not list(tmp_path.iterdir())


def test_a_class_with_too_few_rows(generate, tmp_path):
    code, _, err = generate("--dpc", "1000")
    assert code == 2 and "fewer than --dpc 1000; lower --dpc" in err
    assert not (tmp_path / "made").exists()


def test_another_model_is_a_pretrained_generator(generate, monkeypatch):
    def load(name, args, restrict_vocabulary):
        raise UserError(f"loads {name}, {restrict_vocabulary}")

    monkeypatch.setattr(Generator, "load", load)
    code, _, err = generate("--self_generated", "false", "--restrict_vocabulary", "false")
    assert code == 2 and "error: loads some, False" in err
