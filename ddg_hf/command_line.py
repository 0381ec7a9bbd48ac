# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The parser of commands that take no configuration file."""

import argparse
import re
import sys
from collections.abc import Sequence

from . import terminal
from .errors import UserError, closest


class ArgumentParser(argparse.ArgumentParser):
    """
    [`~argparse.ArgumentParser`] whose mistakes are a [`UserError`], and whose description keeps its lines. Options are
    not abbreviated; an unknown one is named first, with the closest that there is.
    """

    def __init__(self, **kwargs):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)
        terminal.add_options(self)

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        args = sys.argv[1:] if args is None else list(args)
        options = args[: args.index("--")] if "--" in args else args
        # Before argparse looks: it would first miss the option that was meant.
        for name in (option.split("=")[0] for option in options):
            if re.fullmatch(r"--[A-Za-z][\w-]*", name) and name not in self._option_string_actions:
                raise UserError(f"unknown argument '{name}'.{closest(name, self._option_string_actions)}")
        return super().parse_args(args, namespace)

    def error(self, message: str):
        raise UserError(message)
