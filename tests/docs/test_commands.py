# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Every command of every page is one that its program takes; none escapes."""

import importlib
import re

import pytest

from ddg_hf import cli
from ddg_hf.errors import UserError
from tests.docs import commands
from tests.docs.pages import PAGES, ROOT, SHELL, Block, Command, blocks_of, commands_of, name_of, shell_commands
from tests.docs.world import link_project, write_shown_files

COMMANDS = shell_commands()
# Languages of blocks that hold no commands.
OTHER_LANGUAGES = {"python", "yaml", "jinja", "text", "json", "bibtex", "latex", "markdown"}
# Words with which a line begins that is a command.
PROGRAM = re.compile(
    r"^\s*(?:\$ )?(ddg-hf |python (recipes|benchmarks)/|accelerate launch |lm_eval |make \w|pip install )"
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.place} {command}"[:100])
def test_its_program_takes_it(command, monkeypatch, tmp_path):
    link_project(tmp_path)
    write_shown_files(tmp_path)
    for word in command.words:
        if word.endswith(".jsonl"):  # one that is missing is an error
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    monkeypatch.chdir(tmp_path)
    commands.parse(command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_is_outside_of_a_shell_block(page):
    text = page.read_text(encoding="utf-8")
    languages = {block.language for block in blocks_of(page)}
    # A block without a language may show output, in which no command is found below.
    assert languages <= {*SHELL, *OTHER_LANGUAGES, ""}
    for block in blocks_of(page):
        if block.language not in SHELL:
            assert not [line for line in block.text.splitlines() if PROGRAM.match(line)], block.place
        text = text.replace(block.text, "")
    assert not [line for line in text.splitlines() if line.startswith("    ") and PROGRAM.match(line)]


def test_as_many_commands_as_lines_that_begin_one():
    """The parser of blocks misses none: a second, simpler count agrees."""
    text = "\n".join(
        re.sub(r"\\\n", " ", block.text) for page in PAGES for block in blocks_of(page) if block.language in SHELL
    )
    lines = [line for line in text.splitlines() if PROGRAM.match(line)]
    assert len([command for command in COMMANDS if PROGRAM.match(f"{command} ")]) == len(lines)
    assert len(lines) > 100


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ddg-hf generate --task sst2 --selektion random", UserError),
        ("ddg-hf evaluate-icl --task sst2 --scoring guess", UserError),
        ("ddg-hf check runs/sets --fail_on copys", UserError),
        ("ddg-hf export runs/sets --format prompt --data_dir data", UserError),
        ("ddg-hf compare runs/a", UserError),
        ("accelerate launch --config_fil x.yaml recipes/distill.py", SystemExit),
        ("python recipes/distill.py --config recipes/sst2/nothing.yaml", UserError),
        ("python benchmarks/icl.py --data_dri data", SystemExit),
        ("make dmeo", AssertionError),
        ("pip install 'ddg_hf[pfet]'", AssertionError),
        ("ddg-fh generate --task sst2", pytest.fail.Exception),
        ("ddg-hf genrate --task sst2", pytest.fail.Exception),
        ("curl example.org", pytest.fail.Exception),
    ],
)
def test_a_mistake_is_found(line, error, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (command,) = commands_of(Block("page", 1, "shell", line))
    with pytest.raises(error):
        commands.parse(command)


def test_blocks_are_taken_apart():
    text = 'A="$(ddg-hf models --path gemma)"; B=2\nddg-hf x --a "$A" \\\n    --b \'c  d\' # why\n# none\nmake > file'
    first, second, third, fourth = commands_of(Block("page", 1, "shell", text))
    assert (first.words, first.assigns) == ((), {"A": "$(ddg-hf models --path gemma)"})
    assert second.assigns == {"B": "2"}
    assert third.words == ("ddg-hf", "x", "--a", "$A", "--b", "c  d")
    assert fourth == Command("page:1", ("make",))


# Options that pages name in running text and that are not of our commands.
OTHERS_OPTIONS = {
    "--num_processes": "accelerate",
    "--main_process_port": "accelerate",
    "--use_cpu": "accelerate",
    "--config_file": "accelerate",
    "--help": "everyone",
    "--directory": "http.server",
}


@pytest.fixture(scope="module")
def options():
    """The options of all recipes and benchmarks."""
    found = set().union(*(commands.options_of(name.split(".")[-1]) for name, _ in cli.COMMANDS.values()))
    for path in (ROOT / "benchmarks").glob("*.py"):
        found |= set(re.findall(r'add_argument\("(--\w+)"', path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_running_text_exist(page, options):
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(page):
        text = text.replace(block.text, "")
    code = re.findall(r"`([^`\n]+)`", text)
    named = {option for span in code for option in re.findall(r"(?<![\w-])--[a-z]\w*[a-z0-9](?!\w)", span)}
    assert sorted(named - options - set(OTHERS_OPTIONS)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_running_text_exist(page):
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(page):
        text = text.replace(block.text, "")
    named = set(re.findall(r"`ddg-hf ([a-z][\w-]*)", text))
    assert sorted(named - set(cli.COMMANDS)) == []


# Code in running text that names a command with one of its options, and is not the whole of it.
FRAGMENTS = {
    "ddg-hf <command> --help",
    "ddg-hf pretrain --max_length",
    "ddg-hf export --format lm-eval",
    "ddg-hf export --format dspy",
}


def inline_commands() -> list[Command]:
    """Commands with arguments in running text."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in blocks_of(page):
            text = text.replace(block.text, "")
        for span in re.findall(r"`([^`\n]+ [^`\n]+)`", text):
            if PROGRAM.match(span) and not re.fullmatch(r"ddg-hf [\w-]+", span) and span not in FRAGMENTS:
                found += commands_of(Block(name_of(page), 1, "shell", span))
    return found


@pytest.mark.parametrize("command", inline_commands(), ids=lambda command: f"{command.place} {command}"[:100])
def test_a_command_in_running_text_is_one_that_its_program_takes(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    commands.parse(command)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "recipes").glob("[a-z]*.py")))
def test_commands_in_the_docstring_of_a_recipe(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(f"recipes.{name}")
    lines = re.findall(r"^    ((?:ddg-hf|python|accelerate) (?:.*\\\n)*.*)$", module.__doc__, re.MULTILINE)
    assert lines
    for line in lines:
        for command in commands_of(Block(f"recipes/{name}.py", 1, "shell", line.replace(" ...", ""))):
            commands.parse(command)
