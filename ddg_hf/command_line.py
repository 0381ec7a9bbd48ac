# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The parser of commands that take no configuration file."""

import argparse

from .errors import UserError


class ArgumentParser(argparse.ArgumentParser):
    """[`~argparse.ArgumentParser`] whose mistakes are a [`UserError`], and whose description keeps its lines."""

    def __init__(self, **kwargs):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)

    def error(self, message: str):
        raise UserError(message)
