# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""The rows of a JSON file: parsed strictly, and the types of their columns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import UserError
from .source import is_wanted
from .text import one_line, shown

Row = dict[str, Any]

# The types of columns, by what messages call their values.
_TYPES = {
    "nothing": pa.null(),
    "a truth value": pa.bool_(),
    "a number": pa.int64(),
    "a number with a fraction": pa.float64(),
    "text": pa.string(),
}
_NULL, _BOOL, _INT, _FLOAT, _TEXT = _TYPES
_BIG = "a number beyond 64 bits"  # for a column of fractions, so that the order of the rows does not matter
_NUMBERS = (_INT, _BIG, _FLOAT)  # each holds those before it


class _Object(list):
    """The fields of a JSON object as pairs: with repeated keys."""


DECODER = json.JSONDecoder(object_pairs_hook=_Object)


def parse_row(text: str, columns: Sequence[str] | None, place: str, found: dict[str, None]) -> Row:
    """
    Parses one JSON object.

    Args:
        text: The object, possibly with white space around it.
        columns: Fields that are wanted; `None` for all.
        place: Where the text is, such as `"line 3 of 'data.jsonl'"`.
        found: Gets the names of all fields.

    Raises:
        UserError: it is no JSON (with the column of the mistake), no object, or has a field twice.
    """
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{place} is not JSON: {error.msg} in column {error.pos + 1}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not JSON: {one_line(error)}") from error
    return to_row(value, columns, place, found)


def to_row(value: Any, columns: Sequence[str] | None, place: str, found: dict[str, None]) -> Row:
    """Returns what [`DECODER`] made of one JSON object as a row; see [`parse_row`]."""
    if not isinstance(value, _Object):
        raise UserError(f"{place} is not a JSON object with the fields of a row")
    row: Row = {}
    for name, content in value:
        if name in row:
            raise UserError(f"{place} has two fields {shown(name)}; rename or remove one")
        found[name] = None
        if is_wanted(name, columns):
            row[name] = content
    return row


class ColumnTypes:
    """The types of the columns, as far as rows have been seen."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def add(self, row: Row, place: str) -> None:
        """
        Takes a row into account. `place` says where it is.

        Raises:
            UserError: a value is a list or an object, has half of a surrogate pair, is a number beyond the range of
                fractions, or differs in kind from the values above it (text and numbers; whole numbers and fractions
                go together).
        """
        for name, value in row.items():
            if name not in self._kinds:
                self._kinds[name] = _NULL
                _check_characters(name, "the name of a field", place)
            kind, known = self._kind(name, value, place), self._kinds[name]
            if kind in (known, _NULL):
                continue
            numbers = kind in _NUMBERS and known in _NUMBERS
            if numbers and _NUMBERS.index(kind) < _NUMBERS.index(known):
                continue
            if known != _NULL and not numbers:
                raise UserError(
                    f"{shown(name)} is {kind} ({shown(value)}) in {place}, but {known} in {self._places[name]}: "
                    "make them the same"
                )
            self._kinds[name], self._places[name] = kind, place

    @staticmethod
    def _kind(name: str, value: Any, place: str) -> str:
        if value is None:
            return _NULL
        if isinstance(value, str):
            _check_characters(value, shown(name), place)
            return _TEXT
        if isinstance(value, bool):
            return _BOOL
        if isinstance(value, int):
            if -(2**63) <= value < 2**63:
                return _INT
            try:
                float(value)
            except OverflowError as error:
                raise _too_big(name, place) from error
            return _BIG
        if isinstance(value, float):
            return _FLOAT
        what = "an object" if isinstance(value, _Object) else "a list"
        raise UserError(f"{shown(name)} in {place} is {what}, not text or a number")

    def schema(self, final: bool = True) -> pa.Schema:
        """
        The columns in the order in which they were first seen.

        Raises:
            UserError: with `final`, a column of whole numbers has one that does not fit 64 bits.
        """
        for name, kind in self._kinds.items():
            if final and kind == _BIG:
                raise _too_big(name, self._places[name])
        return pa.schema([pa.field(name, _TYPES.get(kind, pa.int64())) for name, kind in self._kinds.items()])


def _too_big(name: str, place: str) -> UserError:
    return UserError(f"{shown(name)} in {place} does not fit a 64-bit number; write it as text")


def _check_characters(text: str, what: str, place: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{what} in {place} has half of a surrogate pair, which is no character") from error


def to_batch(rows: Sequence[Row], schema: pa.Schema, path: Path) -> pa.RecordBatch:
    """Returns rows as a batch; a field that a row lacks is null."""
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        try:
            if pa.types.is_floating(field.type):
                values = [None if value is None else float(value) for value in values]
            columns.append(pa.array(values, field.type))
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise UserError(f"'{path}' changed while it was read: {one_line(error)}") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)
