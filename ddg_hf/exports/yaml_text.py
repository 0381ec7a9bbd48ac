# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""YAML that all parsers read alike."""

import re
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """
    Quotes every string that is not a plain word: parsers of YAML 1.1 and 1.2 differ in which plain strings are numbers
    (`1e3`, `0o7`).
    """

    def ignore_aliases(self, data: Any) -> bool:
        return True


# Line ends to YAML 1.1, which a block would alter; some are ordinary characters to YAML 1.2.
_OTHER_LINE_ENDS = re.compile("[\r\x85\u2028\u2029]")


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"'
    if "\n" in text.strip() and not _OTHER_LINE_ENDS.search(text):
        style = "|"
    elif re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        style = None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def dump_yaml(content: Any) -> str:
    """Returns `content` (mappings, lists, strings, numbers) as YAML, with texts of several lines as blocks."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
