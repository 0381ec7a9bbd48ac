# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Converts broken files of every format, made by changing bytes of valid ones.

    python tests/fuzz/fuzz_readers.py --minutes 10 --seed 0 --findings findings

Each must give rows or a `UserError`, never another exception or the end of the process, and with an error there must
be no output. JSON Lines, CSV and TSV must give the same by the fast path and by the strict one. Work is done in
processes of their own, so that one that ends is noticed; the file that did it is kept. Not collected by pytest. Prints
one JSON object; the exit code is 1 if there are findings.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from ddg_hf.errors import UserError
from ddg_hf.formats import json_files, text
from ddg_hf.formats.convert import Conversion, convert
from ddg_hf.formats.delimited import Delimited
from ddg_hf.formats.json_files import JsonLines
from ddg_hf.formats.labelled import described
from ddg_hf.formats.reading import open_source
from ddg_hf.formats.source import Source
from ddg_hf.formats.writing import write_batches

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".arrows", "")
PER_PROCESS = 400  # conversions
NAMES = ("bad", 'good, "really"', "3")
TEXTS = (
    "plain",
    "",
    'say "no",\tthen',
    "two\nlines",
    "cr\r\nlf",
    "ünï 🎬",
    "\\u0041 \\",
    "  spaces ",
    "2020-01-01",
    "7",
)
TOKENS = [
    *(b'"', b"'", b"\n", b"\r", b"\r\n", b",", b"\t", b"{", b"}", b"[", b"]", b":", b"\\", b"\0", b"\xff", b"\xc3"),
    *(
        b"null",
        b"true",
        b"NaN",
        b"Inf",
        b"-Infinity",
        b"1e999",
        b"9" * 30,
        b"1.5",
        b"1" + b"0" * 400,
        b"-1",
        b"3",
        b'"3"',
        b"\\ud800",
        b"\\u0000",
    ),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b'""', b'"label"', b'{"label":1}', b"[[", b"{}", b"\xe2\x80\xa8"),
]


def rows() -> pa.Table:
    """Rows like those of a distilled set."""
    count = 2 * len(TEXTS)
    columns = {
        "text": [TEXTS[i % len(TEXTS)] for i in range(count)],
        "label": [i % len(NAMES) for i in range(count)],
        "set": [i // 4 for i in range(count)],
        "generator_loss": [None if i % 5 == 0 else i / 7 for i in range(count)],
    }
    types = [pa.string(), pa.int64(), pa.int32(), pa.float32()]
    schema = pa.schema(list(zip(columns, types, strict=True)))
    return pa.Table.from_pydict(columns, described(schema, NAMES))


def write_valid(folder: Path) -> dict[str, list[Path]]:
    """Writes the rows in every format, text ones with names and with ids; returns the files by format."""
    table = rows()
    named = table.set_column(1, "label", pa.array(NAMES).take(table.column("label").combine_chunks()))
    valid: dict[str, list[Path]] = {suffix: [] for suffix in FORMATS}
    for suffix in FORMATS:
        for i, content in enumerate((table, named)):
            path = folder / f"valid{i}{suffix or '.dir'}"
            write_batches(path, content.schema, content.to_batches(max_chunksize=7), suffix)
            valid[suffix].append(path)
    return valid


def mutate(data: bytes, others: list[bytes], random: random.Random) -> bytes:
    """Changes one to three places."""
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        at = random.randrange(len(data) + 1)
        length = random.choice((1, 1, 2, 4, 16, 100))
        kind = random.randrange(8)
        if kind == 0 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + data[at + length :]
        elif kind == 3:
            data = data[:at] + data[at : at + length] * random.choice((2, 3)) + data[at + length :]
        elif kind == 4:
            data = data[:at]
        elif kind == 5:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            data = data[:at] + other[start : start + random.choice((8, 64, 512))] + data[at:]
        else:
            data = data[:at] + random.choice(TOKENS) + data[at + (length if kind == 6 else 0) :]
    return data


def make_case(path: Path, valid: list[Path], random: random.Random) -> None:
    """Writes a broken copy of a valid file, or of a directory with one broken file."""
    source = random.choice(valid)
    if source.is_dir():
        shutil.copytree(source, path)
        file = random.choice(sorted(path.iterdir()))
        file.write_bytes(mutate(file.read_bytes(), [file.read_bytes()], random))
    else:
        path.write_bytes(mutate(source.read_bytes(), [other.read_bytes() for other in valid], random))


class StrictJson(JsonLines):
    def _fast(self, number, block, schema):
        return None


class StrictCsv(Delimited):
    def _fast(self, block):
        return None


def compare_paths(path: Path, fast: type[Source], strict: type[Source]) -> None:
    """Raises if the two ways of reading a text format differ in rows or in the mistake that they name."""
    results = []
    for reader in (fast, strict):
        try:
            source = reader(path, None)
            # NaN differs from itself: compared as text
            results.append(repr((source.schema, pa.Table.from_batches(source.batches(), source.schema).to_pylist())))
        except UserError as error:
            results.append(str(error))
    if results[0] != results[1]:
        raise AssertionError(f"fast and strict differ: {results[0]:.300} and {results[1]:.300}")


def check(path: Path, target: Path, options: dict) -> bool:
    """Converts one file and checks what must hold. Returns whether it gave rows."""
    if path.suffix == ".jsonl":
        compare_paths(path, JsonLines, StrictJson)
    elif path.suffix in (".csv", ".tsv"):
        compare_paths(path, Delimited, StrictCsv)
    before = sorted(target.parent.iterdir())
    try:
        done = convert(Conversion(str(path), str(target), **options))
    except UserError as error:
        if "\n" in str(error) or sorted(target.parent.iterdir()) != before:
            raise AssertionError(f"after {error!r}: {sorted(target.parent.iterdir())}") from error
        return False
    read = open_source(target)
    count = sum(batch.num_rows for batch in read.batches())
    if count != done.rows:
        raise AssertionError(f"{done.rows} rows were written, {count} are read back")
    return True


def work(seed: int, case: Path) -> None:
    """Converts `PER_PROCESS` files; what is in `case` when it fails is the finding. Prints counts."""
    random_ = random.Random(seed)
    text.BLOCK_BYTES = json_files._WINDOW_BYTES = random_.choice((50, 500, 1 << 20))
    counts = {"executions": 0, "rows": 0}
    with tempfile.TemporaryDirectory() as folder:
        valid = write_valid(Path(folder))
        for i in range(PER_PROCESS):
            suffix = random_.choice(FORMATS)
            # A directory as target is slow.
            target_suffix = random_.choice(FORMATS[:-1]) if random_.random() < 0.98 else ""
            options = random_.choice(({}, {}, {"text_columns": ("text",)}, {"label_names": NAMES}))
            shutil.rmtree(case, ignore_errors=True)
            (case / "out").mkdir(parents=True)
            path = case / f"case{suffix}"
            make_case(path, valid[suffix], random_)
            (case / "how.json").write_text(json.dumps({"seed": seed, "i": i, "to": target_suffix, "options": options}))
            counts["rows"] += check(path, case / "out" / f"target{target_suffix}", options)
            counts["executions"] += 1
    print(json.dumps(counts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments.seed, arguments.worker)
        return 0
    end = time.monotonic() + 60 * arguments.minutes
    totals = {"seed": arguments.seed, "processes": 0, "executions": 0, "rows": 0, "findings": []}
    while time.monotonic() < end:
        seed = 1_000_000 * arguments.seed + totals["processes"]
        totals["processes"] += 1
        with tempfile.TemporaryDirectory() as folder:
            case = Path(folder) / "case"
            command = [sys.executable, __file__, "--seed", str(seed), "--worker", str(case)]
            environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if done.returncode == 0:
                for name, count in json.loads(done.stdout.splitlines()[-1]).items():
                    totals[name] += count
                continue
            kept = arguments.findings / str(seed)
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            if case.exists():
                shutil.copytree(case, kept, dirs_exist_ok=True)
            (kept / "error.txt").write_text(done.stderr)
            last = (done.stderr.strip().splitlines() or [""])[-1]
            totals["findings"].append({"seed": seed, "exit_code": done.returncode, "error": last[:300]})
            print(json.dumps(totals["findings"][-1]), file=sys.stderr, flush=True)
    print(json.dumps(totals, indent=2))
    return 1 if totals["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
