# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Griffe extension: the docstrings of this package, which follow those of `transformers`, for mkdocstrings.

- [`Name`] and [`~package.module.Name`] become references, which lead to the API reference where it has the name and
  are code elsewhere.
- A field of a dataclass made by `lambda: [5]` has the default `[5]`.
- In `name (`int`, *optional*, defaults to `3`): text` the type loses its marks. A default that says more than a value
  stays in the text.
"""

import html
import re

from griffe import Attribute, ExprCall, ExprKeyword, ExprLambda, Extension, GriffeLoader, Module, Object

_REFERENCE = re.compile(r"\[`(?P<name>~?[\w.]+)`\](?![\[(])")
_SECTION = re.compile(r"^(?:Parameters|Args|Attributes):\s*$", re.IGNORECASE)
_ITEM = re.compile(r"^(?P<indent>\s+)(?P<names>[\w, ]+?) \((?P<type>[^()]*(?:\([^()]*\)[^()]*)*)\):(?P<text>.*)$")


class TransformersDocstrings(Extension):
    """Rewrites every docstring of a package once it is loaded, before any is parsed."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_) -> None:
        """Rewrites the docstrings of `pkg`."""
        names: dict[str, set[str]] = {}
        objects = list(_walk(pkg))
        for obj in objects:
            names.setdefault(obj.name, set()).add(obj.path)
        for obj in objects:
            if obj.docstring is not None:
                obj.docstring.value = rewrite(obj.docstring.value, obj, names)
            if isinstance(obj, Attribute) and isinstance(obj.value, ExprCall):
                _simplify_factory(obj.value)


def _walk(obj: Object):
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _walk(member)


def _simplify_factory(call: ExprCall) -> None:
    """Makes `field(default=[5])` of `field(default_factory=lambda: [5])`, before its parameter is made of it."""
    for argument in call.arguments:
        if isinstance(argument, ExprKeyword) and argument.name == "default_factory":
            if isinstance(argument.value, ExprLambda):
                argument.name, argument.value = "default", argument.value.body


def rewrite(text: str, obj: Object, names: dict[str, set[str]]) -> str:
    """The docstring `text` of `obj` in the form that mkdocstrings shows; `names` are the paths of each name."""
    lines, in_section = [], False
    for line in text.splitlines():
        if _SECTION.match(line):
            in_section = True
        elif line and not line[0].isspace():
            in_section = False
        elif in_section and (match := _ITEM.match(line)) is not None:
            line = _item(match)
        lines.append(line)
    return _REFERENCE.sub(lambda match: _reference(match["name"], obj, names), "\n".join(lines))


def _item(match: re.Match) -> str:
    """The first line of the description of a parameter."""
    types, _, default = match["type"].partition(", defaults to ")
    types = _REFERENCE.sub(lambda reference: reference["name"].split(".")[-1].lstrip("~"), types)
    types = types.replace("`", "").replace(", *optional*", "").replace("*optional*", "").replace(" or ", " | ").strip()
    names = match["names"]
    text = match["text"].strip()
    if default and not re.fullmatch(r"`[^`]*`", default):  # a plain value stands in the signature
        text = f"(default: {default}) {text}".strip()
    if "," in names:  # one description of several: the names cannot be those of one parameter
        return f"{match['indent']}{names.replace(', ', ',')}: {text}"
    return f"{match['indent']}{names} ({types}): {text}" if types else f"{match['indent']}{names}: {text}"


def _reference(name: str, obj: Object, names: dict[str, set[str]]) -> str:
    """A reference that is code if the API reference lacks the name."""
    shown = html.escape(name.split(".")[-1] if name.startswith("~") else name)
    path = _resolve(name.lstrip("~"), obj, names)
    if path is None:
        return f"`{shown}`"
    return f'<autoref optional identifier="{path}"><code>{shown}</code></autoref>'


def _resolve(name: str, obj: Object, names: dict[str, set[str]]) -> str | None:
    """The full path of a name as seen from `obj`: its members, those of what it is in, or the only one called so."""
    if name.split(".")[0] == "ddg_hf":
        return name
    first, *rest = name.split(".")
    scope: Object | None = obj
    while scope is not None:
        if first in scope.members:
            member = scope.members[first]
            path = member.target_path if member.is_alias else member.path
            return ".".join([path, *rest])
        scope = scope.parent
    found = names.get(first, set())
    return ".".join([next(iter(found)), *rest]) if len(found) == 1 else None
