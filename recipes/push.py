# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Publish distilled sets on the Hugging Face Hub, as Parquet with a card.

    ddg-hf push runs/sst2/generate user/sst2-ddg --results runs/sst2/icl runs/sst2/evaluate_learner --license mit

`datasets.load_dataset("user/sst2-ddg", "dpc_5")` then loads them. The card shows how they were made, the results that
are given, and the checks if `ddg-hf check` was run. Everything goes up in one commit; where nothing has changed,
nothing is done. What was written into the card by hand, here or on the Hub, stays. The token is that of
`hf auth login` or `HF_TOKEN`.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from ddg_hf.command_line import ArgumentParser


def main(argv: Sequence[str] | None = None) -> int:
    """Publishes what `argv` (default: the command line) names. Returns the exit code."""
    parser = ArgumentParser(prog="ddg-hf push", description=__doc__)
    parser.add_argument("directory", help="directory that `ddg-hf generate`, `convert` or `pull` wrote")
    parser.add_argument("repository", help="user/name; made if there is none")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--revision", help="branch to publish on, made if there is none (default: main)")
    parser.add_argument("--create_pr", action="store_true", help="open a pull request instead of changing the branch")
    parser.add_argument(
        "--results", nargs="+", default=[], metavar="DIR", help="evaluations that the card shows: their directories"
    )
    parser.add_argument("--license", help="license of the sets, e.g. mit (default: that of the card, or unknown)")
    parser.add_argument(
        "--card", choices=["local", "hub"], help="whose text to keep if README.md was edited here and on the Hub"
    )
    parser.add_argument("--commit_message", help="first line of the commit message")
    arguments = parser.parse_args(argv)

    from ddg_hf.hub import push_distilled
    from ddg_hf.terminal import result, say

    published = push_distilled(
        arguments.directory,
        arguments.repository,
        private=arguments.private,
        revision=arguments.revision,
        create_pr=arguments.create_pr,
        results=arguments.results,
        license=arguments.license,
        prefer_card=arguments.card,
        commit_message=arguments.commit_message,
    )
    say(f"{'published' if published.changed else 'nothing has changed'}: {published.url}")
    result({"command": "push", "directory": arguments.directory, **asdict(published)})
    return 0


if __name__ == "__main__":
    from ddg_hf.cli import run

    sys.exit(run(main))
