# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Keeps what a study has measured, so that it can go on, or be looked at, on another machine.

    python benchmarks/study_archive.py save runs/sst2/study_cpu docs/results/study_cpu/sst2.tar.gz --data_dir data
    python benchmarks/study_archive.py restore docs/results/study_cpu/sst2.tar.gz runs/sst2/study_cpu --data_dir data

Of every command that is done the archive has the record, the metadata, the results, the predictions, the curves of
training, the checks, and the sets: no weights, and no row of a dataset, since what is a training row, or repeats one,
is kept as the number of that row. `study.json` and `results.json` are those of the last command line: have `ddg-hf
study --plan true` write them for all methods before.
After `restore` the same `ddg-hf study` command line takes these commands for done. A command that is added later and
needs a model that is not there fails, and says so: delete what made it below `cells/`, and it is run again.
"""

import argparse
import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ddg_hf.errors import UserError

METADATA = "metadata.json"
RESULTS = (
    "results.json",
    "checks.json",
    "measures.json",
    "predictions.parquet",
    "config.json",
    "generator_format.json",
    "trainer_state.json",
)
"""Files of a command that tables and plots are made from; `config` and `generator_format` say how large one is."""

REPEATED = "training_row"
"""Column of an archived table: the training row that a text repeats."""


def files_of(study: Path) -> Iterator[tuple[Path, bool]]:
    """The files that are kept, in an order that does not depend on the machine, and whether they are sets."""
    yield study / "study.json", False
    if (study / "results.json").is_file():  # what a report says of costs, ranks and sets
        yield study / "results.json", False
    for record in sorted((study / "state").rglob("*.json"), key=lambda path: path.relative_to(study).as_posix()):
        cell = study / "cells" / record.relative_to(study / "state").with_suffix("")
        content = json.loads(record.read_text(encoding="utf-8"))
        if content["state"] == "done" and (cell / METADATA).is_file():
            yield from ((path, False) for path in (record, cell / METADATA))
            yield from ((cell / name, False) for name in RESULTS if (cell / name).is_file())
            yield from ((path, True) for path in sorted(cell.glob("dpc_*/train.parquet")))


class TrainingRows:
    """
    The training rows of a study's task, by number, and back.

    Args:
        study: The study.
        data_dir: Directory of the tasks, where the study has not loaded its own from elsewhere.

    Raises:
        UserError: the study was run with other training rows.
    """

    def __init__(self, study: Path, data_dir: str | None):
        from ddg_hf.configs import DataArguments
        from ddg_hf.data.rows import fingerprints, rows_and_labels

        arguments = json.loads((study / "study.json").read_text(encoding="utf-8"))["arguments"]
        names = ("task", "dataset", "text_columns", "label_column", "label_names")
        given = {name: arguments[name] for name in names if arguments.get(name) is not None}
        seed = arguments["seed"] if arguments.get("split_seed") is None else arguments["split_seed"]
        spec, splits = DataArguments(**given, data_dir=data_dir, split_seed=seed).load(seed=seed)
        now = fingerprints(splits)["train"]
        for record in (file for file, _ in files_of(study) if file.name == METADATA):
            before = (json.loads(record.read_text(encoding="utf-8")).get("data_fingerprint") or {}).get("train", now)
            if before != now:
                raise UserError(f"the training rows of '{record.parent}' were others than those that there are now")
        self.columns = list(spec.text_columns)
        self.rows, _ = rows_and_labels(splits["train"], spec)
        self.number = {row: i for i, row in enumerate(self.rows)}

    def hide(self, table: pa.Table) -> pa.Table:
        """Replaces rows that repeat a training row by its number."""
        texts = zip(*(table[name].to_pylist() for name in self.columns), strict=True)
        numbers = pa.array([self.number.get(tuple(row)) for row in texts], pa.int64())
        hidden = np.array(numbers.is_valid())
        for name in self.columns:
            kept = pa.array(np.where(hidden, None, table[name].to_pylist()), table.schema.field(name).type)
            table = table.set_column(table.column_names.index(name), table.schema.field(name), kept)
        return table.append_column(REPEATED, numbers)

    def show(self, table: pa.Table) -> pa.Table:
        """The opposite of [`hide`]."""
        numbers = table[REPEATED].to_pylist()
        for i, name in enumerate(self.columns):
            texts = table[name].to_pylist()
            texts = [text if n is None else self.rows[n][i] for text, n in zip(texts, numbers, strict=True)]
            field = table.schema.field(name)
            table = table.set_column(table.column_names.index(name), field, pa.array(texts, field.type))
        return table.drop_columns([REPEATED])


def save(study: Path, archive: Path, data_dir: str | None) -> int:
    """Writes the archive, byte for byte the same for the same files. Returns the number of files."""
    if not (study / "study.json").is_file():
        raise UserError(f"'{study}' is not the output directory of a study")
    files, content = list(files_of(study)), io.BytesIO()
    training = TrainingRows(study, data_dir) if any(is_sets for _, is_sets in files) else None
    with tarfile.open(fileobj=content, mode="w") as tar:
        for file, is_sets in files:
            data = file.read_bytes()
            if is_sets:
                buffer = io.BytesIO()
                pq.write_table(training.hide(pq.read_table(file)), buffer, compression="zstd")
                data = buffer.getvalue()
            entry = tarfile.TarInfo(file.relative_to(study).as_posix())
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + ".part")
    part.write_bytes(gzip.compress(content.getvalue(), mtime=0))
    part.replace(archive)
    return len(files)


def restore(archive: Path, study: Path, data_dir: str | None) -> int:
    """Unpacks an archive into a directory that has no study yet. Returns the number of files."""
    if study.exists() and any(study.iterdir()):
        raise UserError(f"'{study}' is not empty; give another directory")
    study.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=study.parent, prefix=f".{study.name}.") as name:
        part = Path(name) / study.name
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
            number = len(tar.getnames())
        tables = sorted(part.glob("cells/**/dpc_*/train.parquet"))
        training = TrainingRows(part, data_dir) if tables else None
        for path in tables:
            pq.write_table(training.show(pq.read_table(path)), path, compression="zstd")
        part.replace(study)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["save", "restore"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data_dir", help="directory of the tasks, if the study was given one")
    options = parser.parse_args()
    action = save if options.action == "save" else restore
    try:
        number = action(options.source, options.target, options.data_dir)
    except UserError as error:
        parser.error(str(error))
    print(f"{options.target}: {number} files")


if __name__ == "__main__":
    main()
