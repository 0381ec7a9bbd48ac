# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Labels of a file: names or ids become ids where the names are known, and every one is checked."""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ..data.checks import is_string
from ..errors import UserError, closest
from .source import Source, first_true
from .text import one_line, shown

_FRACTION = r"\A[+-]?[0-9]*\.[0-9]+\z"
ID_PATTERN = r"\A(?:0|-?[1-9][0-9]{0,17})\z"


def carried_names(source: Source, column: str) -> tuple[str, ...] | None:
    """
    Returns the label names that a file carries for a column (`ClassLabel` of `datasets`), or `None`.

    Raises:
        UserError: the file describes its columns in a way that cannot be understood.
    """
    described = (source.schema.metadata or {}).get(b"huggingface")
    if described is None:
        return None
    try:
        feature = json.loads(described)["info"]["features"].get(column)
        if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
            return None
        names = feature["names"]
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("label names are no list of texts")
        return tuple(names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"'{source.path}' describes its columns wrongly: metadata 'huggingface'") from error


def check_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Returns label names. Raises `UserError` if there are fewer than two, or two are the same."""
    repeated = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if repeated is not None:
        raise UserError(f"{what} have {shown(repeated)} twice")
    if len(names) < 2:
        raise UserError(f"{what} must be two or more, got {', '.join(names) or 'none'}")
    return tuple(names)


class Labels:
    """
    Converts the label column of a file, batch by batch.

    With names, labels become ids (int64): in typed formats numbers are ids and texts are names. In CSV and TSV a cell
    that is a name is that name; any other number is an id, unless names are numbers themselves.

    Without names, ids stay ids and names stay texts; in CSV and TSV labels are ids if all of them are whole numbers.

    Args:
        source (`Source`): the file.
        column (`str`): its label column.
        names (`Sequence[str]`, *optional*): label names in the order of the ids.

    Attributes:
        type (`pyarrow.DataType`): what labels become, int64 or string.

    Raises:
        UserError: the column holds neither whole numbers nor text, or ids and names.
    """

    def __init__(self, source: Source, column: str, names: Sequence[str] | None):
        self._source, self._column = source, column
        self._names = None if names is None else pa.array(names, pa.string())
        kind = source.schema.field(column).type
        if not (is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
            raise UserError(
                f"{shown(column)} of '{source.path}' holds {one_line(kind)}; labels are whole numbers or text"
            )
        # Of CSV: the first row with an id, and with a name.
        self._first: dict[str, int] = {}
        # Where a name is a number, but not its own id, "3" could mean either.
        self._numbered = any(_is_number(name) and name != str(i) for i, name in enumerate(names or ()))
        if names is not None:
            ids = True
        elif source.typed:
            ids = not (is_string(kind) or pa.types.is_boolean(kind))
        else:
            ids = self._all_ids()
        self.type = pa.int64() if ids else pa.string()

    def _all_ids(self) -> bool:
        """Reads the labels of a CSV file and returns whether they are ids."""
        row = 0
        for batch in self._source.batches():
            labels = batch.column(self._column)
            at = first_true(pc.match_substring_regex(labels, _FRACTION))
            if at is not None:
                what = f"{shown(self._column)} in {self._source.place(row + at)} is {labels[at].as_py()}"
                raise UserError(f"{what}; labels are whole numbers or text")
            self._note(pc.match_substring_regex(labels, ID_PATTERN), None, row)
            row += batch.num_rows
        return "name" not in self._first

    def _note(self, ids: pa.Array, names: pa.Array | None, row: int) -> None:
        """Raises `UserError` if labels of a CSV file are ids in some rows and names in others."""
        for kind, mask in (("id", ids), ("name", pc.invert(ids) if names is None else names)):
            at = first_true(mask)
            if at is not None:
                self._first.setdefault(kind, row + at)
        if len(self._first) == 2:
            id_place, name_place = (self._source.place(self._first[kind]) for kind in ("id", "name"))
            what = f"{shown(self._column)} is a number in {id_place}, but a name in {name_place}"
            hint = "" if self._names is not None else ", or give the label names"
            raise UserError(f"{what}: make them the same{hint}")

    def convert(self, values: pa.Array, row: int) -> pa.Array:
        """
        Returns the labels of a batch whose first row has number `row`.

        Raises:
            UserError: a label is missing, is not among the names, or is no id of one.
        """
        at = first_true(pc.is_null(values))
        if at is not None:
            raise UserError(f"{shown(self._column)} has no value in {self._source.place(row + at)}")
        if pa.types.is_boolean(values.type):
            values = pc.if_else(values, "True", "False")
        if is_string(values.type):
            if self._names is None:
                return values if pa.types.is_string(self.type) else self._in_range(values.cast(pa.int64()), row)
            return self._named(values, row)
        try:
            ids = values.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise UserError(f"{shown(self._column)} of '{self._source.path}' has numbers beyond 64 bits") from error
        return self._in_range(ids, row)

    def _named(self, values: pa.Array, row: int) -> pa.Array:
        ids = pc.index_in(values, value_set=self._names).cast(pa.int64())
        if not self._source.typed and not self._numbered:
            is_id = pc.match_substring_regex(values, ID_PATTERN)
            self._note(pc.and_(is_id, pc.is_null(ids)), pc.and_(pc.invert(is_id), pc.is_valid(ids)), row)
            numbers = pc.if_else(is_id, values, pa.scalar(None, pa.string())).cast(pa.int64())
            ids = pc.coalesce(ids, self._in_range(numbers, row))
        at = first_true(pc.is_null(ids))
        if at is not None:
            label, names = values[at].as_py(), self._names.to_pylist()
            some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise UserError(
                f"label {shown(label)} in {self._source.place(row + at)} is not among the label names "
                + one_line(f"({some}).{closest(label, names)}")
            )
        return ids

    def _in_range(self, ids: pa.Array, row: int) -> pa.Array:
        outside = pc.less(ids, 0)
        if self._names is not None:
            outside = pc.or_(outside, pc.greater_equal(ids, len(self._names)))
        at = first_true(outside)
        if at is not None:
            most = "" if self._names is None else f" to {len(self._names) - 1}"
            raise UserError(
                f"label {ids[at].as_py()} in {self._source.place(row + at)} is no label id: they go from 0{most}"
            )
        return ids


def _is_number(text: str) -> bool:
    return pc.match_substring_regex(pa.scalar(text), ID_PATTERN).as_py()
