# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Rows per second of `ddg-hf convert` against pandas, and its peak memory on a large file.

    python benchmarks/convert.py > docs/results/convert.json

Speed: files of `--speed_megabytes` (JSON Lines and CSV) become Parquet, by `convert` and by `pandas.read_json` or
`read_csv` and `to_parquet`. Both take turns in one process, medians of `--repeats`; the rows are compared.
Memory: a process of its own converts JSON Lines of `--megabytes` to Parquet. Texts are messages of the embedded data
set, three to a row (Linux). Files are written to a temporary directory. Prints one JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from report import print_result

from ddg_hf.data.toy import make_toy_dataset
from ddg_hf.formats.convert import Conversion, convert

# The kernel's ru_maxrss would count the memory of the process that starts this one.
PROGRAM = """
import json, sys, time
from pathlib import Path
from ddg_hf.formats.convert import Conversion, convert
start = time.perf_counter()
rows = convert(Conversion(*sys.argv[1:3], label_names=tuple(json.loads(sys.argv[3])))).rows
seconds = time.perf_counter() - start
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 2**10
print(json.dumps({"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, "peak_memory_mb": peak}))
"""


def write_json_lines(path: Path, megabytes: int) -> list[str]:
    """Writes `{"text": ..., "labels": ...}` rows, 10,000 different ones over and over; returns the label names."""
    train = make_toy_dataset()["train"]
    texts, labels = train["text"][:], train["label"][:]
    count = len(texts)
    rows = [
        {"text": " ".join(texts[(i * step + i // count) % count] for step in (1, 7, 11)), "labels": labels[i % count]}
        for i in range(10_000)
    ]
    block = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
    with path.open("wb") as file:
        while file.tell() < megabytes * 2**20:
            file.write(block)
    return train.features["label"].names


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_speed(folder: Path, megabytes: int, repeats: int) -> dict:
    """Rows per second of both, by format, and how many times ours are as many."""
    lines, cells = folder / "speed.jsonl", folder / "speed.csv"
    names = write_json_lines(lines, megabytes)
    frame = pd.read_json(lines, lines=True)
    frame.to_csv(cells, index=False)
    ours, theirs = folder / "ours.parquet", folder / "theirs.parquet"
    readers = {"jsonl": lambda: pd.read_json(lines, lines=True), "csv": lambda: pd.read_csv(cells)}
    result = {}
    for name, source in (("jsonl", lines), ("csv", cells)):
        conversion = Conversion(str(source), str(ours), label_names=tuple(names))
        times: dict[str, list[float]] = {"ours": [], "pandas": []}
        for _ in range(repeats):
            times["ours"].append(seconds_of(lambda c=conversion: convert(c, overwrite=True)))
            times["pandas"].append(seconds_of(lambda read=readers[name]: read().to_parquet(theirs)))
        expected = pq.read_table(theirs, columns=["text", "labels"]).rename_columns(["text", "label"])
        assert pq.read_table(ours).to_pydict() == expected.to_pydict(), "both must read the same rows"
        medians = {who: statistics.median(values) for who, values in times.items()}
        result[name] = {
            "rows": len(frame),
            "megabytes": source.stat().st_size / 2**20,
            "rows_per_second": {who: len(frame) / seconds for who, seconds in medians.items()},
            "ratio": medians["pandas"] / medians["ours"],
        }
    return result


def measure_memory(folder: Path, megabytes: int) -> dict:
    """Rows, seconds and peak memory (MiB) of a process that converts a file of this size."""
    source = folder / "large.jsonl"
    names = write_json_lines(source, megabytes)
    command = [sys.executable, "-c", PROGRAM, str(source), str(folder / "large.parquet"), json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"megabytes": source.stat().st_size / 2**20} | json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed_megabytes", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        speed = measure_speed(Path(name), arguments.speed_megabytes, arguments.repeats)
        memory = measure_memory(Path(name), arguments.megabytes)
    print_result({"repeats": arguments.repeats, "pandas": pd.__version__, "speed": speed, "memory": memory})


if __name__ == "__main__":
    main()
