# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Write distilled sets in the formats of other tools.

    ddg-hf export runs/sst2/distilled --config dpc_5 --format prompt --output prompt.txt
    ddg-hf export runs/sst2/distilled --config dpc_5 --format lm-eval --data_dir data --output tasks

docs/exports.md says what each format holds and how it is loaded. Prompts show the rows of one set in the order of
`ddg-hf evaluate-icl` with the same seed. Formats with a test for each query (lm-eval, promptfoo) take the queries that
it would ask: rows of --split of the task, or of --dataset.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ddg_hf.command_line import ArgumentParser
from ddg_hf.errors import UserError

FORMATS = {
    "prompt": "the text that comes before a query, as evaluate-icl shows it",
    "openai-jsonl": "chat messages, a line for each set",
    "langchain": "a directory with a few-shot prompt and its examples",
    "dspy": "JSON state of a compiled dspy.Predict",
    "lm-eval": "a directory with a task for lm-evaluation-harness",
    "promptfoo": "a configuration with a test for each query",
    "csv": "all columns of all sets",
    "setfit": "columns text, label and label_text",
}
STAGE = "export"
DIRECTORIES = ("langchain", "lm-eval")
WITH_QUERIES = ("lm-eval", "promptfoo")
TABLES = ("csv", "setfit")
ALL_SETS = ("openai-jsonl", "csv")
# Names that the tools insist on.
SUFFIXES = {"dspy": (".json",), "promptfoo": (".yaml", ".yml")}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses and checks the command line. Raises `UserError` if something in it is wrong."""
    parser = ArgumentParser(prog="ddg-hf export", description=__doc__)
    parser.add_argument("directory", type=os.path.expanduser, help="directory of distilled sets")
    listed = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    parser.add_argument("--format", required=True, choices=list(FORMATS), help=listed)
    parser.add_argument("--config", help="configuration, such as dpc_5 (default: the only one)")
    parser.add_argument(
        "--set", type=int, help=f"number of the set (default: the first; all for {', '.join(ALL_SETS)})"
    )
    parser.add_argument("--rounds", type=int, help="rows per class in the prompt (default: all)")
    parser.add_argument("--seed", type=int, default=42, help="seed of the order and of the queries (default: 42)")
    parser.add_argument(
        "--order",
        choices=["interleaved", "sorted"],
        help="one row of each class after the other, or class by class (default: interleaved)",
    )
    parser.add_argument(
        "--output", type=os.path.expanduser, help="file or directory to write (default for files: standard output)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    queries = parser.add_argument_group(f"queries ({', '.join(WITH_QUERIES)})")
    queries.add_argument("--data_dir", help="directory with <task>/<split>.parquet (default: the Hub)")
    queries.add_argument("--dataset", help="Hub id, directory or file, for sets of no registered task")
    queries.add_argument("--text_columns", help="text columns of --dataset, comma-separated (default: the sets')")
    queries.add_argument("--label_column", help="label column of --dataset (default: label)")
    queries.add_argument("--split", help="split that the queries come from (default: validation)")
    queries.add_argument("--test_number", type=int, help="number of queries, classes balanced (default: the split)")
    arguments = parser.parse_args(argv)
    _check(arguments)
    return arguments


def _check(arguments: argparse.Namespace) -> None:
    if arguments.rounds is not None and arguments.rounds < 1:
        raise UserError(f"--rounds must be at least 1, got {arguments.rounds}")
    if arguments.format in TABLES:
        _refuse(arguments, ("rounds", "order"), f"{arguments.format} has all rows in the order of the sets")
    if arguments.format not in WITH_QUERIES:
        names = ("data_dir", "dataset", "text_columns", "label_column", "split", "test_number")
        _refuse(arguments, names, f"it goes with {' and '.join(WITH_QUERIES)}")
    if arguments.dataset is None:
        _refuse(arguments, ("text_columns", "label_column"), "it describes a --dataset")
    if arguments.format in DIRECTORIES and arguments.output is None:
        raise UserError(f"--output is missing: {arguments.format} writes a directory")
    suffixes = SUFFIXES.get(arguments.format)
    if suffixes and arguments.output is not None and Path(arguments.output).suffix not in suffixes:
        raise UserError(f"{arguments.format} reads files called *{' or *'.join(suffixes)}; rename --output")


def _refuse(arguments: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    for name in names:
        if getattr(arguments, name) is not None:
            raise UserError(f"leave out --{name}: {reason}")


def check_output(output: str | None, overwrite: bool, is_directory: bool, source: str) -> Path | None:
    """
    Returns where to write, `None` for standard output.

    Raises:
        UserError: something there would be lost: it is no export or not to be overwritten, or it is the directory
            `source` of the sets, within it or around it.
    """
    from ddg_hf.provenance import check_output_dir, recorded_run

    if output is None:
        return None
    path, sets = Path(output), Path(source).resolve()
    if path.exists() and path.is_dir() != is_directory:
        raise UserError(f"--output '{path}' is a {'file' if is_directory else 'directory'}; give another name")
    if path.resolve().is_relative_to(sets) or sets.is_relative_to(path.resolve()):
        raise UserError(f"--output '{path}' is the directory of the sets, in it or around it; give another place")
    if path.exists() and not overwrite and not (is_directory and not any(path.iterdir())):
        raise UserError(f"'{path}' exists; pass --overwrite to replace it or another --output")
    if is_directory:
        check_output_dir(output, overwrite, STAGE, replaces=True)
        record = recorded_run(path)
        if record is not None and record.get("stage") != STAGE:
            raise UserError(f"'{path}' holds files that are no export; give a new directory or empty it")
    return path


def write(path: Path | None, content: str | dict[str, str | bytes], record: dict) -> None:
    """Writes a file, or a directory with its record, whole or not at all; nothing without a path."""
    from ddg_hf.provenance import METADATA_FILE, atomic_directory, atomic_file, write_json

    if path is None:
        return
    if isinstance(content, str):
        with atomic_file(path) as temporary:
            temporary.write_bytes(content.encode())
    else:
        with atomic_directory(path) as temporary:
            for name, part in content.items():
                (temporary / name).write_bytes(part.encode() if isinstance(part, str) else part)
            write_json(temporary / METADATA_FILE, record)


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _queries(arguments: argparse.Namespace, spec) -> list:
    """The labelled queries that the arguments describe."""
    from ddg_hf.exports.queries import load_queries

    return load_queries(
        spec,
        arguments.split or "validation",
        arguments.test_number,
        arguments.seed,
        arguments.data_dir,
        arguments.dataset,
        [name.strip() for name in arguments.text_columns.split(",")] if arguments.text_columns else None,
        arguments.label_column,
    )


def _lm_eval_files(arguments: argparse.Namespace, path: Path, name: str, spec, template, rows) -> dict:
    """The task, with its queries unless the harness can read them from the Hub."""
    from ddg_hf.exports import lm_eval
    from ddg_hf.exports.queries import is_registered
    from ddg_hf.exports.yaml_text import dump_yaml

    split = arguments.split or "validation"
    chosen = any(value is not None for value in (arguments.data_dir, arguments.dataset, arguments.test_number))
    if not chosen and is_registered(spec) and lm_eval.is_on_hub(spec, split):
        source, files = lm_eval.hub_queries(spec, split), {}
    else:
        # The harness would look for a relative name in the directory in which it is started.
        source = lm_eval.local_queries(path.absolute() / lm_eval.QUERIES_FILE)
        files = {lm_eval.QUERIES_FILE: lm_eval.query_file(spec, _queries(arguments, spec))}
    return {f"{name}.yaml": dump_yaml(lm_eval.lm_eval_task(name, spec, template, rows, source)), **files}


def content_of(arguments: argparse.Namespace, path: Path | None, spec, config: str, sets: dict, number: int):
    """Returns what is written: the text of a file, or the files of a directory by their names."""
    from ddg_hf.evaluation.icl.prompts import PromptTemplate
    from ddg_hf.exports import dspy, langchain, openai_jsonl, promptfoo, tables
    from ddg_hf.exports.sets import in_prompt_order
    from ddg_hf.exports.yaml_text import dump_yaml

    kind = arguments.format
    chosen = list(sets.values()) if kind in ALL_SETS and arguments.set is None else [sets[number]]
    if kind in TABLES:
        write_table = tables.csv_text if kind == "csv" else tables.setfit_text
        return write_table(spec, [row for rows in chosen for row in rows])
    order = (spec.num_labels, arguments.rounds, arguments.seed, arguments.order or "interleaved")
    shown = [in_prompt_order(rows, config, *order) for rows in chosen]
    template, rows = PromptTemplate.from_task(spec), shown[0]
    name = "_".join([re.sub(r"[^\w.-]+", "-", spec.name), config, f"set{number}"])
    name += f"_r{arguments.rounds}" if arguments.rounds else ""
    if kind == "prompt":
        return template.prefix(rows)
    if kind == "openai-jsonl":
        return openai_jsonl.chat_lines(template, shown)
    if kind == "langchain":
        return {file: _json(part) for file, part in langchain.langchain_files(spec, template, rows).items()}
    if kind == "dspy":
        return _json(dspy.dspy_state(spec, template, rows))
    if kind == "promptfoo":
        return dump_yaml(promptfoo.promptfoo_config(name, spec, template, rows, _queries(arguments, spec)))
    return _lm_eval_files(arguments, path, name, spec, template, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Exports what `argv` (default: the command line) names. Returns the exit code."""
    arguments = parse(argv)
    is_directory = arguments.format in DIRECTORIES
    path = check_output(arguments.output, arguments.overwrite, is_directory, arguments.directory)

    from ddg_hf.exports.sets import choose_config, choose_set
    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.provenance import run_metadata
    from ddg_hf.terminal import note, result

    directory = open_distilled(arguments.directory)
    config = choose_config(directory, arguments.config)
    sets = directory.sets(config)
    number = choose_set(sets, arguments.set)
    content = content_of(arguments, path, directory.spec, config, sets, number)
    record = run_metadata(STAGE, []) | {"arguments": vars(arguments), "task": directory.spec.name}
    write(path, content, record | {"config": config, "set": number})
    if arguments.set is None and len(sets) > 1:
        which = f"all of them, {min(sets)} first" if arguments.format in ALL_SETS else f"set {number}"
        note(f"{config} has {len(sets)} sets; exported: {which} (--set chooses one)")
    if path is not None:
        note(f"written: {path}")
    done = {"command": "export", "output": path and str(path), "format": arguments.format, "config": config}
    all_sets = arguments.format in ALL_SETS and arguments.set is None
    done["sets"] = list(sets) if all_sets else [number]
    if path is None:
        result(done | {"content": content}, text=content)
    else:
        result(done)
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
