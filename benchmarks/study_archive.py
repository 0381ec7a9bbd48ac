# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Keeps what a study has measured, so that it can go on, or be looked at, on another machine.

    python benchmarks/study_archive.py save runs/sst2/study_cpu docs/results/study_cpu/sst2.tar.gz
    python benchmarks/study_archive.py restore docs/results/study_cpu/sst2.tar.gz runs/sst2/study_cpu

Of every command that is done the archive has the record, the metadata, the results and the predictions: neither
weights nor texts, so no row of a dataset either. After `restore` the same `ddg-hf study` command line takes these
commands for done, but for `select`, which chooses the same rows again. A command that is added later and needs a model
or generated texts that are not there fails, and says so: delete what made them below `cells/`, and it is run again.
"""

import argparse
import gzip
import io
import json
import tarfile
from pathlib import Path

METADATA = "metadata.json"
RESULTS = ("results.json", "measures.json", "predictions.parquet", "config.json", "generator_format.json")
"""Files of a command that the tables of a study are made from; the last two say how large a generator is."""


def files_of(study: Path) -> list[Path]:
    """The files that are kept, in an order that does not depend on the machine."""
    kept = [study / "study.json"]
    for record in sorted((study / "state").rglob("*.json")):
        cell = study / "cells" / record.relative_to(study / "state").with_suffix("")
        content = json.loads(record.read_text(encoding="utf-8"))
        if content["command"].startswith("ddg-hf select "):
            continue
        if content["state"] == "done" and (cell / METADATA).is_file():
            kept += [record, cell / METADATA, *(cell / name for name in RESULTS if (cell / name).is_file())]
    return kept


def save(study: Path, archive: Path) -> int:
    """Writes the archive, byte for byte the same for the same files. Returns the number of files."""
    if not (study / "study.json").is_file():
        raise SystemExit(f"'{study}' is not the output directory of a study")
    files, content = files_of(study), io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for file in files:
            entry = tarfile.TarInfo(file.relative_to(study).as_posix())
            data = file.read_bytes()
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(archive.name + ".part")
    part.write_bytes(gzip.compress(content.getvalue(), mtime=0))
    part.replace(archive)
    return len(files)


def restore(archive: Path, study: Path) -> int:
    """Unpacks an archive into a directory that has no study yet. Returns the number of files."""
    if study.exists() and any(study.iterdir()):
        raise SystemExit(f"'{study}' is not empty; give another directory")
    with tarfile.open(archive) as tar:
        study.mkdir(parents=True, exist_ok=True)
        tar.extractall(study, filter="data")
        return len(tar.getnames())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["save", "restore"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    number = (save if options.action == "save" else restore)(options.source, options.target)
    print(f"{options.target}: {number} files")


if __name__ == "__main__":
    main()
