# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Directories of distilled sets as they are opened, good and bad."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from ddg_hf.data.rows import DistilledRow
from ddg_hf.data.tasks import TaskSpec, get_task
from ddg_hf.errors import UserError
from ddg_hf.formats.directory import open_distilled
from ddg_hf.formats.distilled import write_distilled
from tests.hub.sets import SPEC, rows, write_sets


@pytest.fixture
def directory(tmp_path):
    return write_sets(tmp_path / "sets")


def rewrite(directory, change, config="dpc_1"):
    """Replaces the table of a configuration by `change` of it."""
    path = directory / config / "train.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def test_rows_come_back_as_they_were_written(directory):
    opened = open_distilled(directory)
    assert opened.spec is SPEC and opened.configs == ("dpc_1", "dpc_2")
    assert opened.metadata["stage"] == "generate"
    for n in (1, 2):
        found = opened.sets(f"dpc_{n}")
        assert [row for number in found for row in found[number]] == rows(n)


def test_configurations_are_in_the_order_of_their_numbers(tmp_path):
    assert open_distilled(write_sets(tmp_path / "sets", sizes=(10, 2, 1))).configs == ("dpc_1", "dpc_2", "dpc_10")


def test_an_unknown_loss_is_null_in_the_file_and_nan_in_the_row(tmp_path):
    unknown = [DistilledRow(row.texts, row.label, row.set, math.nan) for row in rows(1)]
    write_distilled(tmp_path, {1: unknown}, SPEC, {"task": "toy"})
    assert load_dataset(str(tmp_path), "dpc_1", split="train")["generator_loss"] == [None] * 12
    assert all(math.isnan(row.generator_loss) for row in open_distilled(tmp_path).sets("dpc_1")[0])


def test_data_of_no_registered_task_describes_itself(tmp_path):
    spec = TaskSpec(
        name="tickets", text_columns=("subject", "body"), label_names=("a", "b"), field_names=("Text 1", "Text 2")
    )
    write_distilled(tmp_path, {1: [DistilledRow(("s", "b"), 1, 0, 1.0)]}, spec, {"task": "tickets"})
    assert open_distilled(tmp_path).spec == spec


def test_another_task_of_the_same_name_is_not_the_registered_one(tmp_path):
    spec = TaskSpec(name="sst2", text_columns=("sentence",), label_names=("bad", "good"))
    write_distilled(tmp_path, {1: [DistilledRow(("s",), 1, 0, 1.0)]}, spec, {"task": "sst2"})
    found = open_distilled(tmp_path).spec
    assert found is not get_task("sst2") and found.label_names == ("bad", "good")


def test_sets_without_numbers_and_losses(directory):
    rewrite(directory, lambda table: table.drop_columns(["set", "generator_loss"]))
    assert list(open_distilled(directory).sets("dpc_1")) == [0]


def names_of(table: pa.Table, names) -> pa.Table:
    """The table with other label names."""
    info = json.loads(table.schema.metadata[b"huggingface"])
    info["info"]["features"]["label"]["names"] = names
    return table.replace_schema_metadata({"huggingface": json.dumps(info)})


def renamed(table: pa.Table, name: str, new: str) -> pa.Table:
    info = table.schema.metadata[b"huggingface"].decode().replace(f'"{name}"', f'"{new}"')
    names = [new if column == name else column for column in table.column_names]
    return table.rename_columns(names).replace_schema_metadata({"huggingface": info})


def with_column(table: pa.Table, name: str, values) -> pa.Table:
    values = values if isinstance(values, pa.Array) else pa.array(values)
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace_schema_metadata(None), "no column 'label' with label names"),
        (lambda t: t.drop_columns(["label"]), "no column 'label'"),
        (lambda t: t.drop_columns(["text"]), "no text column"),
        (lambda t: renamed(t, "text", "body"), "text columns .* of dpc_2 are not those of dpc_1"),
        (lambda t: t.append_column("text", t["text"]), "two columns 'text'"),
        (lambda t: t.slice(0, 0), "no rows"),
        (lambda t: with_column(t, "label", [99] * len(t)), "label ids outside 0 to 5"),
        (lambda t: with_column(t, "text", pa.array([None] * len(t), pa.string())), "no value in row 0"),
        (lambda t: with_column(t, "set", ["x"] * len(t)), "'set' in .* whole number"),
        (lambda t: with_column(t, "set", [2**40] * len(t)), "'set' in .* out of range"),
        (lambda t: with_column(t, "generator_loss", ["x"] * len(t)), "'generator_loss' in .* not numbers"),
        (lambda t: names_of(t, ["a", "b"]), "label names of dpc_2 are not those of dpc_1"),
    ],
)
def test_a_file_that_is_not_what_it_should_be(directory, change, message):
    rewrite(directory, change, "dpc_2")
    with pytest.raises(UserError, match=message) as error:
        open_distilled(directory)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("dpc_2/train.parquet", b"", "cannot read"),
        ("dpc_2/train.parquet", b"PAR1 and no more", "cannot read"),
        ("metadata.json", b"{", "is not JSON"),
        ("metadata.json", b"[]", "does not hold a JSON object"),
        ("metadata.json", b"\xff", "is not JSON"),
        ("metadata.json", b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_broken_file_is_named(directory, path, content, message):
    (directory / path).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        open_distilled(directory)
    assert path in str(error.value)


def test_a_truncated_file_is_named(directory):
    path = directory / "dpc_2" / "train.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"cannot read .*dpc_2.train\.parquet"):
        open_distilled(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda texts: [b"caf\xe9", *texts[1:]], "cannot read .*dpc_2.train.parquet.*UTF8"),
        (
            lambda texts: [texts[0], b"a\0b", *texts[2:]],
            "'text' has a NUL character in row 2 of .*dpc_2.train.parquet",
        ),
    ],
)
def test_a_text_that_no_tool_could_read(directory, change, message):
    def with_bytes(table):
        texts = change([text.encode() for text in table["text"].to_pylist()])
        offsets = pa.array([0, *np.cumsum([len(text) for text in texts])], pa.int32())
        values = pa.StringArray.from_buffers(len(texts), offsets.buffers()[1], pa.py_buffer(b"".join(texts)))
        return with_column(table, "text", values)

    rewrite(directory, with_bytes, "dpc_2")
    with pytest.raises(UserError, match=message):
        open_distilled(directory)


@pytest.mark.parametrize("name", ["dpc_2", "dpc_2/train.parquet", "metadata.json"])
@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_links_are_not_followed(directory, tmp_path, name, target):
    (directory / name).rename(tmp_path / "there")
    (directory / name).symlink_to(tmp_path / target)
    with pytest.raises(UserError, match=rf"{name}' is a symbolic link, which is not followed"):
        open_distilled(directory)


def test_the_directory_itself_may_be_a_link(directory, tmp_path):
    (tmp_path / "link").symlink_to(directory)
    assert open_distilled(tmp_path / "link").configs == ("dpc_1", "dpc_2")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (".", 0o000),
        ("sets", 0o000),
        ("sets", 0o444),  # may be listed, but nothing in it opened
        ("sets", 0o333),  # the other way round
        ("sets/dpc_2", 0o000),
        ("sets/dpc_2/train.parquet", 0o000),
        ("sets/metadata.json", 0o000),
    ],
)
def test_what_may_not_be_read_is_named(folder_with_rights, name, mode):
    sets = write_sets(folder_with_rights / "sets")
    (folder_with_rights / name).chmod(mode)
    with pytest.raises(UserError, match=f"cannot read '.*{name.strip('.')}.*Permission denied"):
        open_distilled(sets)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no directory of distilled sets"):
        open_distilled(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no distilled sets"):
        open_distilled(tmp_path)
