# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Fetch distilled sets from the Hugging Face Hub.

    ddg-hf pull user/sst2-ddg --config dpc_5 --output_dir runs/sst2/pulled

The directory is like the one that was published, and serves every other command: `evaluate-icl --distilled`, `check`,
`export`, `push`. `--distilled user/sst2-ddg` evaluates published sets without it. The token, for private repositories,
is that of `hf auth login` or `HF_TOKEN`.
"""

import sys
from collections.abc import Sequence

from ddg_hf.command_line import ArgumentParser


def main(argv: Sequence[str] | None = None) -> int:
    """Fetches what `argv` (default: the command line) names. Returns the exit code."""
    parser = ArgumentParser(prog="ddg-hf pull", description=__doc__)
    parser.add_argument("repository", help="user/name")
    parser.add_argument("--config", help="one configuration, e.g. dpc_5 (default: all)")
    parser.add_argument("--revision", help="branch, tag, commit or refs/pr/<n> (default: main)")
    parser.add_argument("--output_dir", help="where they go (default: the repository's name, in this directory)")
    parser.add_argument("--overwrite", action="store_true", help="replace distilled sets that are there")
    arguments = parser.parse_args(argv)
    output_dir = arguments.output_dir or arguments.repository.split("/")[-1]

    from ddg_hf.formats.directory import open_distilled
    from ddg_hf.hub import pull_distilled
    from ddg_hf.terminal import result, say

    sets = open_distilled(
        pull_distilled(
            arguments.repository, output_dir, arguments.config, arguments.revision, overwrite=arguments.overwrite
        )
    )
    configs = {name: {"rows": len(sets.table(name)), "sets": len(sets.sets(name))} for name in sets.configs}
    for config, numbers in configs.items():
        say(f"{config}: {numbers['rows']} rows, {numbers['sets']} sets")
    commit = sets.metadata["pulled"]["commit"]
    say(f"distilled sets: {sets.path}, commit {commit}")
    result({"command": "pull", "output_dir": str(sets.path), "commit": commit, "configs": configs})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
