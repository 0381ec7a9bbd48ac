# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The commands and Python blocks of the pages run, in their order, with tiny models and few rows.

A command is the one of the page, with options behind it that make it small (`tests.docs.running.SIZES`). What needs a
GPU, a server or another program is parsed by its own parser instead (`test_commands.py`).
"""

import shutil

import datasets
import pytest

from ddg_hf.models import offline
from tests.docs.pages import ROOT, SHELL, blocks_of, commands_of, name_of
from tests.docs.running import PageRun, why_not
from tests.docs.world import build_world
from tests.hub.conftest import hub, quick_retries, waits  # noqa: F401  (fixtures)

pytestmark = pytest.mark.slow

# Pages that run, and what of the earlier pages they take for granted.
SETS = ["runs/sst2/generate", "runs/sst2/icl"]
RUNS = {
    "README.md": ["runs/demo/distilled"],
    "docs/index.md": [],
    "docs/quick_start.md": [],
    "docs/own_dataset.md": [],
    "docs/own_model.md": ["runs/sst2/generate", "runs/sst2/pretrain"],
    "docs/icl.md": [*SETS, "runs/sst2/icl_balanced"],
    "docs/four_gpus.md": [],
    "docs/hub.md": [*SETS, "runs/sst2/evaluate_learner", "runs/sst2/pretrain"],
    "docs/checks.md": ["runs/sst2/generate", "runs/tickets/distilled"],
    "docs/formats.md": [],
    "docs/exports.md": ["runs/sst2/generate", "runs/tickets/distilled"],
    "docs/paper_setting.md": [],
    "docs/report.md": [*SETS, "runs/sst2/icl_balanced"],
    "docs/study.md": [],
    "docs/terminal.md": ["runs/model"],
    "docs/model_names.md": [],
    "docs/results/sst2_cpu.md": [],
    "docs/api/index.md": [],
}
# Pages whose commands are parsed only.
PARSED = {
    "docs/results/icl_cpu.md": "37 evaluations that differ in the task and the demonstrations alone",
    "docs/results/study_cpu.md": "hours",
    "docs/results/study_search.md": "hours",
    "docs/scaling.md": "benchmarks",
}
# Python blocks, by their first lines, that cannot run here: test_python_blocks.py resolves their names.
NOT_RUN = {
    ("docs/exports.md", "import json"): "asks a provider",
    ("docs/exports.md", "import dspy"): "asks a provider",
    ("docs/exports.md", "from datasets import load_dataset"): "trains a model from the Hub",
}
MADE = [
    ["pretrain", "--config", "recipes/sst2/pretrain.yaml"],
    ["distill", "--config", "recipes/sst2/distill.yaml"],
    ["generate", "--config", "recipes/sst2/generate.yaml"],
    *(
        ["evaluate_icl", "--task", "sst2", *shown, "--dpc", "5", "--output_dir", f"runs/sst2/{name}"]
        for name, shown in (
            ("icl", ["--distilled", "runs/sst2/generate"]),
            ("icl_balanced", ["--demonstrations", "balanced"]),
        )
    ),
    [
        *("evaluate_learner", "--task", "sst2", "--distilled", "runs/sst2/generate"),
        *("--output_dir", "runs/sst2/evaluate_learner"),
    ],
    ["pretrain", "--config", "tickets.yaml", "--generator", "gpt2", "--output_dir", "runs/tickets/pretrain"],
    [
        *("generate", "--config", "tickets.yaml", "--generator", "runs/tickets/pretrain", "--dpc", "5"),
        *("--output_dir", "runs/tickets/distilled"),
    ],
    [
        *("pretrain", "--task", "toy", "--generator_config", "tiny", "--learner", "tiny"),
        *("--output_dir", "runs/demo/pretrain"),
    ],
    [
        *("generate", "--task", "toy", "--generator", "runs/demo/pretrain", "--learner", "tiny", "--dpc", "2"),
        *("--output_dir", "runs/demo/distilled"),
    ],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The directory of `tests.docs.world`, with what earlier pages would have left there; and the prepared models."""
    from tests.docs.commands import Recipe
    from tests.docs.running import run_recipe

    folder = tmp_path_factory.mktemp("docs")
    world, home = folder / "world", folder / "home"
    build_world(world, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        patch.setenv("DDG_HF_HOME", str(home))
        for name, *argv in MADE:
            assert run_recipe(Recipe(name, argv)) == 0, (name, argv)
    return world, home


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # of peft
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning")
@pytest.mark.parametrize("page", RUNS)
def test_page_runs(page, made, tmp_path, monkeypatch, request):
    world, home = made
    directory = tmp_path / "world"
    shutil.copytree(world, directory, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    for path in [*RUNS[page], "runs/my_model"]:
        shutil.copytree(world / path, directory / path)
    if page == "README.md" or page == "docs/hub.md":
        request.getfixturevalue("waits")
        request.getfixturevalue("hub")
    monkeypatch.chdir(directory)
    monkeypatch.setenv("DDG_HF_HOME", str(home))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    run = PageRun()
    run.run(ROOT / page, {first: why for (name, first), why in NOT_RUN.items() if name == page})
    shown = [command for block in blocks_of(ROOT / page) if block.language in SHELL for command in commands_of(block)]
    assert len(run.executed) >= sum(why_not(command) is None and bool(command.words) for command in shown)
    assert offline.offline_model_path("gemma").is_relative_to(home)


def test_every_page_runs_or_says_why_not():
    from tests.docs.pages import PAGES

    with_code = {
        name_of(page) for page in PAGES if any(block.language in (*SHELL, "python") for block in blocks_of(page))
    }
    assert with_code <= set(RUNS) | set(PARSED)
    assert set(RUNS) <= with_code
