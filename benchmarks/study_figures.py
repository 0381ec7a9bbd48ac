# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Draws the figures of a page from the results of a study: accuracy over rows per class, raw and batch-calibrated.

    python benchmarks/study_figures.py docs/results/study_cpu/sst2_gentle.json docs/results/study_cpu \\
        --methods zero_shot balanced k_centers lm_only ddg
    python benchmarks/study_figures.py docs/results/study_cpu/sst2.json docs/results/study_cpu \\
        --methods zero_shot balanced k_centers lm_only dilm ddg

Writes `NAME_raw.svg` and `NAME_calibrated.svg`, as a report draws them, and their numbers as `NAME_raw.csv` and
`NAME_calibrated.csv`; NAME is that of the results.
"""

import argparse
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

from ddg_hf.errors import UserError
from ddg_hf.provenance import atomic_file, read_json
from ddg_hf.report.accuracy import accuracy_plots
from ddg_hf.report.figures import Plot, save_figures
from ddg_hf.report.model import Method, Results
from ddg_hf.report.study import results_of
from ddg_hf.report.values import mapping, mappings
from ddg_hf.study.methods import METHODS, RERANKED, method_named

MEASURES = ("raw", "calibrated")


def load(file: Path, methods: list[str] | None = None) -> Results:
    """
    The results of a study, of all its methods or of some.

    Raises:
        UserError: the file cannot be read, or has no results of a method.
    """
    content = dict(mapping(read_json(file)))
    rows = results_of(content, file.stem, []).rows
    there = list(dict.fromkeys(row.method for row in rows if any(name in row.accuracies for name in MEASURES)))
    if not there:
        raise UserError(f"'{file}' has no results in context of a study")
    if missing := set(methods or []) - set(there):
        raise UserError(
            f"'{file}' has no results in context of {', '.join(sorted(missing))}, but of {', '.join(there)}"
        )
    chosen = methods or there
    given = {name: name for name in chosen if name.removesuffix(RERANKED) not in METHODS}
    found = [method_named(name, given) for name in chosen]
    mine = content | {"rows": [row for row in mappings(content["rows"]) if row.get("method") in chosen]}
    return results_of(mine, file.stem, [Method(method.name, method.title, method.kind) for method in found])


def figures(results: Results) -> dict[str, Plot]:
    """The figures by measure, one for each that there are results of."""
    found = {}
    for measure in MEASURES:
        rows = [
            dataclasses.replace(row, accuracies={measure: row.accuracies[measure]})
            for row in results.rows
            if measure in row.accuracies
        ]
        if rows:
            (found[measure],) = accuracy_plots(dataclasses.replace(results, rows=rows))
    return found


def on_white(svg: str) -> str:
    """The drawing with white behind it: a page may be dark, and the text is black."""
    before, defs, after = svg.partition("<defs>")
    assert defs, "matplotlib begins its drawings with definitions"
    return f'{before}<rect width="100%" height="100%" fill="#ffffff"/>\n {defs}{after}'


def main() -> int:
    """Writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--methods", nargs="+")
    options = parser.parse_args()
    try:
        plots = figures(load(options.results, options.methods))
    except UserError as error:
        parser.error(str(error))
    for measure, plot in plots.items():
        stem = f"{options.results.stem}_{measure}"
        with tempfile.TemporaryDirectory() as folder:
            save_figures([plot], Path(folder))
            table, drawing = (Path(folder) / f"{plot.name}{kind}" for kind in (".csv", ".svg"))
            with atomic_file(options.output_dir / f"{stem}.csv") as file:
                shutil.copy(table, file)
            with atomic_file(options.output_dir / f"{stem}.svg") as file:
                file.write_text(on_white(drawing.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
