# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Labelled texts of a file of any format in one layout, batch by batch, every value checked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..data.checks import is_string
from ..errors import UserError, closest
from .labels import Labels, carried_names, check_names
from .reading import open_source
from .source import Source, first_true
from .text import one_line, shown

# Columns that a distilled set has beside the texts.
LABEL, SET, LOSS = "label", "set", "generator_loss"
# The label column is one of these unless it is named; DiLM's files have the second.
LABEL_COLUMNS = (LABEL, "labels")
# Beside text, what a column may hold that is kept unasked.
_PLAIN = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)


@dataclass(frozen=True)
class LabelledTexts:
    """
    Labelled texts; see [`read_labelled`].

    Attributes:
        source (`Source`): the file.
        text_columns (`tuple[str, ...]`): its text columns.
        label_names (`tuple[str, ...]` or `None`): names of the label ids, `None` if they are not known.
        schema (`pyarrow.Schema`): the columns, with the description of `datasets` in the metadata.
        batches (`Iterator[pyarrow.RecordBatch]`): the rows in order, a few MB at a time. A wrong row raises a
            `UserError` that names its place.
    """

    source: Source
    text_columns: tuple[str, ...]
    label_names: tuple[str, ...] | None
    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def read_labelled(
    path: str | Path,
    text_columns: Sequence[str] | None = None,
    label_column: str | None = None,
    label_names: Sequence[str] | None = None,
) -> LabelledTexts:
    """
    Reads labelled texts.

    Args:
        path: File or directory, as [`~ddg_hf.formats.reading.open_source`] takes it.
        text_columns: Text columns, in the order in which they are wanted; other columns than these, the label, and
            `set` and `generator_loss` if they hold numbers, are left out. By default every column of text is one, and
            all columns are kept.
        label_column: Name of the label column, by default `label` or `labels`. It becomes `label`.
        label_names: Label names in the order of the ids, by default those that the file carries.

    Returns:
        The texts (string), `label` (int64 ids; string if labels are names and their order is not known), and as far as
        they are there `set` (int32) and `generator_loss` (float32, null where it is no finite number).

    Raises:
        UserError: the file cannot be read, a column is missing or has another type, or label names do not agree.
    """
    labels = LABEL_COLUMNS if label_column is None else (label_column,)
    if text_columns is not None:
        _check_text_names(text_columns, labels)
    source = open_source(path, None if text_columns is None else (*text_columns, *labels, SET, LOSS))
    label = _label_column(source, labels)
    columns = _columns(source, text_columns, label)
    texts = tuple(name for name in columns if name != label and is_string(source.schema.field(name).type))
    texts = tuple(name for name in texts if name not in (SET, LOSS))
    if not texts:
        raise UserError(f"'{source.path}' has no column of text beside the label {shown(label)}")
    names = _names(source, label, label_names)
    reader = _Reader(source, columns, texts, label, names, guessed=text_columns is None)
    return LabelledTexts(source, texts, names, reader.schema, reader.batches())


def _check_text_names(text_columns: Sequence[str], labels: Sequence[str]) -> None:
    if len({*text_columns, *labels}) < len(text_columns) + len(labels):
        raise UserError(f"the text columns {', '.join(text_columns)} must differ from each other and from the label")
    for name in text_columns:
        if name in (LABEL, SET, LOSS):
            raise UserError(f"the text column {shown(name)} has the name of a column of distilled sets; rename it")


def _missing(source: Source, name: str) -> UserError:
    hint = one_line(f"{closest(name, source.found)} Its columns are {', '.join(source.found)}")
    return UserError(f"'{source.path}' has no column {shown(name)}. {hint}")


def _label_column(source: Source, candidates: Sequence[str]) -> str:
    found = [name for name in candidates if name in source.schema.names]
    if not found:
        raise _missing(source, candidates[0])
    if len(found) > 1:
        raise UserError(f"'{source.path}' has both '{found[0]}' and '{found[1]}': say which with --label_column")
    return found[0]


def _columns(source: Source, text_columns: Sequence[str] | None, label: str) -> list[str]:
    """Returns the columns that are kept, in their order."""
    names = source.schema.names
    if any("\0" in name for name in names):
        raise UserError(f"the name of a column of '{source.path}' has a NUL character; rename it")
    if text_columns is not None:
        for name in text_columns:
            if name not in names:
                raise _missing(source, name)
            kind = source.schema.field(name).type
            if not is_string(kind):
                what = "no value in any row" if pa.types.is_null(kind) else f"{one_line(kind)}, not text"
                raise UserError(f"column {shown(name)} of '{source.path}' holds {what}")
        return [*text_columns, label, *(name for name in (SET, LOSS) if name in names and _is_numeric(source, name))]
    for name in names:
        kind = source.schema.field(name).type
        plain = any(test(kind) for test in (is_string, *_PLAIN))
        if not name or not plain:
            what = f"column {shown(name)} of '{source.path}' holds {one_line(kind)}"
            what = what if name else f"a column of '{source.path}' has no name"
            raise UserError(f"{what}: say with --text_columns which columns are text, to leave others out")
    if label != LABEL and LABEL in names:
        raise UserError(f"'{source.path}' has both {shown(label)} and 'label': rename one, or give --text_columns")
    return names


def _is_numeric(source: Source, name: str) -> bool:
    """Whether a column holds numbers; where all is text, whether its first value is one."""
    kind = source.schema.field(name).type
    if source.typed:
        return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    first = next((values for batch in source.batches() if len(values := batch.column(name).drop_null())), None)
    try:
        return first is None or first[0].cast(pa.float64()).is_valid
    except pa.ArrowInvalid:
        return False


def _names(source: Source, label: str, label_names: Sequence[str] | None) -> tuple[str, ...] | None:
    carried = carried_names(source, label)
    if label_names is None:
        return None if carried is None else check_names(carried, f"the label names of '{source.path}'")
    names = check_names(label_names, "the label names")
    if carried is not None and carried != names:
        at = next((i for i, pair in enumerate(zip(carried, names, strict=False)) if pair[0] != pair[1]), None)
        what = f"{len(carried)} of them, not {len(names)}"
        if at is not None:
            what = f"id {at} = {shown(carried[at])}, not {shown(names[at])}"
        raise UserError(f"'{source.path}' carries other label names than those given: {what}")
    return names


class _Reader:
    """Brings the batches of a file into the common layout."""

    def __init__(
        self,
        source: Source,
        columns: list[str],
        texts: tuple[str, ...],
        label: str,
        names: tuple[str, ...] | None,
        guessed: bool,
    ):
        self._source, self._columns, self._texts, self._label = source, columns, texts, label
        self._labels = Labels(source, label, names)
        self._guessed = guessed and len(texts) > 1
        types = {name: source.schema.field(name).type for name in columns}
        types |= {label: self._labels.type}
        types |= {name: kind for name, kind in ((SET, pa.int32()), (LOSS, pa.float32())) if name in types}
        self.schema = described(
            pa.schema([pa.field(LABEL if name == label else name, types[name]) for name in columns]), names
        )

    def batches(self) -> Iterator[pa.RecordBatch]:
        row = 0
        for batch in self._source.batches():
            columns = [self._column(name, batch.column(name), row) for name in self._columns]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            row += batch.num_rows
        if not row:
            raise UserError(f"'{self._source.path}' has no rows")

    def _column(self, name: str, values: pa.Array, row: int) -> pa.Array:
        if name == self._label:
            return self._labels.convert(values, row)
        if name == LOSS:
            losses = self._cast(name, values, pa.float32(), row)
            return pc.if_else(pc.is_finite(losses), losses, pa.scalar(None, pa.float32()))
        if name == SET or name in self._texts:
            at = first_true(pc.is_null(values))
            if at is not None:
                hint = "; --text_columns says which columns are text" if self._guessed else ""
                raise UserError(f"{shown(name)} has no value in {self._source.place(row + at)}{hint}")
        if name == SET:
            values = self._cast(name, values, pa.int32(), row)
            at = first_true(pc.less(values, 0))
            if at is not None:
                raise UserError(f"'set' is negative in {self._source.place(row + at)}; sets are numbered from 0")
        return values

    def _cast(self, name: str, values: pa.Array, kind: pa.DataType, row: int) -> pa.Array:
        if self._source.typed and is_string(values.type) or pa.types.is_boolean(values.type):
            raise UserError(f"column {shown(name)} of '{self._source.path}' holds {values.type}, not numbers")
        try:
            return values.cast(kind)
        except pa.ArrowInvalid:
            for at, value in enumerate(values):
                try:
                    value.cast(kind)
                except pa.ArrowInvalid as error:
                    what = "a whole number of 32 bits" if name == SET else "a number"
                    raise UserError(
                        f"{shown(name)} in {self._source.place(row + at)} is {value.as_py()!r}, not {what}"
                    ) from error
            raise


def described(schema: pa.Schema, names: Sequence[str] | None) -> pa.Schema:
    """Returns a schema with the description of its columns that `datasets` reads; label names among them."""
    from datasets import ClassLabel, Features

    features = Features.from_arrow_schema(schema)
    if names is not None:
        features[LABEL] = ClassLabel(names=list(names))
    return features.arrow_schema
