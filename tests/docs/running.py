# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Runs the commands and the Python blocks of a page in a directory, in their order."""

import contextlib
import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ddg_hf import cli
from tests.docs.commands import EXTERNAL, Recipe, as_recipe, parse_recipe
from tests.docs.pages import SHELL, Block, Command, blocks_of, commands_of, expand

# Sizes that a test can afford, behind the arguments of the page, so that they win.
TRAINING = ["--bf16", "false", "--probe_samples", "4", "--seed", "1", "--save_strategy", "no", "--eval_strategy", "no"]
SIZES = {
    "pretrain": [*TRAINING, "--max_steps", "80", "--learning_rate", "1e-2", "--per_device_train_batch_size", "16"],
    "distill": [
        *(*TRAINING, "--max_steps", "2", "--inner_steps", "2", "--learner_steps", "1", "--learner_batch_size", "8"),
        *("--synthetic_per_class", "4", "--pool_per_class", "8", "--real_per_class", "6", "--teacher_sets", "2"),
        *("--eval_snapshots", "1", "--held_out_samples", "4", "--learning_rate", "1e-4"),
    ],
    "generate": ["--over_sample_ratio", "2", "--num_sets", "2"],
    "select_rows": ["--num_sets", "4"],
    "rerank": ["--test_number", "8"],
    "measure": ["--dpc", "5"],
    "study": ["--plan", "true"],  # a study of one command is run by tests/study
    "evaluate_learner": ["--num_seeds", "1", "--train_steps", "2", "--test_number", "12", "--num_sets", "2"],
    "evaluate_icl": ["--test_number", "12", "--num_sets", "2"],
}
# The same for options only where a page gives them.
SIZES_IF_GIVEN = {
    "--num_trajectories": ["--num_trajectories", "2"],
    "--validation_sets": [
        *("--validation_sets", "1", "--validation_dpc", "1", "--validation_learner_steps", "1"),
        *("--eval_strategy", "steps", "--eval_steps", "2", "--save_strategy", "steps", "--save_steps", "2"),
    ],
    "--save_steps": ["--save_strategy", "steps", "--save_steps", "2"],
    "--push_to_hub": ["--save_strategy", "steps", "--save_steps", "2"],
}
# What a machine without a GPU, a server or the Hub cannot do: these are parsed, see test_commands.py.
NEEDS = {
    "--vllm": "vLLM",
    "--load_in_4bit": "bitsandbytes and a GPU",
    "--base_url": "a server",
}
PROGRAMS = ("ddg-hf", "python", "accelerate")


def why_not(command: Command) -> str | None:
    """Why a command is only parsed, or `None` if it is run."""
    if not command.words:
        return None
    if any(" ".join(command.words[:n]) in EXTERNAL for n in (2, 3)):
        return "another program"
    if (recipe := as_recipe(list(command.words))) is None:
        return f"no recipe: {command.words[0]}"
    if recipe.name == "demo":
        return "test_pipeline.py runs it"
    return next((f"needs {what}" for option, what in NEEDS.items() if option in command.words), None)


@dataclass
class PageRun:
    """
    Runs a page in the current directory.

    Attributes:
        executed: The commands and Python blocks that were run.
    """

    executed: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    namespace: dict = field(default_factory=dict)

    def run(self, page: Path, skipped_python: dict[str, str]) -> None:
        """Runs what the page shows; of Python blocks those that are not in `skipped_python` by their first lines."""
        for block in blocks_of(page):
            if block.language in SHELL:
                for command in commands_of(block):
                    self.run_command(command)
            elif block.language == "python" and block.text.partition("\n")[0] not in skipped_python:
                self.run_python(block)

    def run_command(self, command: Command) -> None:
        """Runs a command, unless there is a reason not to."""
        if why_not(command) is not None:
            return
        for name, value in command.assigns.items():
            (self.variables[name],) = expand((value,), self.variables, self.substitute)
        if not command.words:
            return
        words = expand(command.words, self.variables, self.substitute)
        recipe = as_recipe(words)
        # Without `--fail_on` a check that finds something is no failure.
        allowed = (0, 1) if "--fail_on" in words else (0,)
        code = run_recipe(recipe)
        assert code in allowed, f"{command.place}: exit code {code} of `{command}`"
        self.executed.append(f"{command.place} {command}")

    def run_python(self, block: Block) -> None:
        """Executes a Python block; the names of those before it are there."""
        code = compile("\n" * block.line + block.text, block.page, "exec")
        exec(code, self.namespace)
        self.executed.append(block.place)

    def substitute(self, command: str) -> str:
        """What a command in `$(...)` prints."""
        words = command.split()
        assert words[0] == "ddg-hf"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert cli.main(words[1:]) == 0
        return printed.getvalue().strip()


def run_recipe(recipe: Recipe) -> int:
    """Runs a recipe in this process, with sizes that a test can afford; returns the exit code."""
    argv = [*recipe.argv, *SIZES.get(recipe.name, [])]
    for option, sizes in SIZES_IF_GIVEN.items():
        if option in recipe.argv:
            argv += sizes
    if "--task" in argv and "--data_dir" not in argv and recipe.name in (*SIZES, "check"):
        if argv[argv.index("--task") + 1] != "toy":
            argv += ["--data_dir", "data"]
    if any(word.startswith("recipes/") for word in argv) and "--data_dir" not in argv:  # a configuration of a task
        argv += ["--data_dir", "data"]
    if recipe.name == "export" and any(name in argv for name in ("lm-eval", "promptfoo")) and "--dataset" not in argv:
        argv += [] if "--data_dir" in argv else ["--data_dir", "data"]
    if recipe.name in SIZES:
        # The sections of a page may write the same directory: each begins anew.
        directories = {getattr(part, "output_dir", None) for part in parse_recipe(Recipe(recipe.name, argv))}
        for directory in directories - {None}:
            shutil.rmtree(directory, ignore_errors=True)
    command = next(name for name, (module, _) in cli.COMMANDS.items() if module.endswith(f".{recipe.name}"))
    return cli.main([command, *argv])
