# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
Draws the figures of a page from the results of a study: accuracy over rows per class, raw and batch-calibrated.

    python benchmarks/study_figures.py docs/results/study_cpu/sst2_gentle.json docs/results/study_cpu
    python benchmarks/study_figures.py docs/results/study_cpu/sst2.json docs/results/study_cpu \\
        --methods zero_shot balanced k_centers lm_only dilm ddg

Writes `NAME_raw.svg` and `NAME_calibrated.svg`, as a report draws them, and their numbers as `NAME_raw.csv` and
`NAME_calibrated.csv`; NAME is that of the results.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from ddg_hf.errors import UserError
from ddg_hf.provenance import atomic_file, read_json, write_json
from ddg_hf.report.accuracy import accuracy_plots
from ddg_hf.report.figures import Plot, save_figures
from ddg_hf.report.model import Results
from ddg_hf.report.study import read_study
from ddg_hf.study.methods import METHODS, RERANKED, method_named

MEASURES = ("raw", "calibrated")


def load(file: Path, methods: list[str] | None = None) -> Results:
    """
    The results of a study, of all its methods or of some.

    Raises:
        UserError: the file cannot be read, or has no results of a method.
    """
    content = read_json(file)
    there = list(dict.fromkeys(row["method"] for row in content["rows"] if row["icl"]))
    if missing := set(methods or []) - set(there):
        raise UserError(
            f"'{file}' has no results in context of {', '.join(sorted(missing))}; it has {', '.join(there)}"
        )
    chosen = methods or there
    rows = [row for row in content["rows"] if row["method"] in chosen]
    given = {name: name for name in chosen if name.removesuffix(RERANKED) not in METHODS}
    found = [method_named(name, given) for name in chosen]
    titles = [{"name": method.name, "title": method.title, "kind": method.kind} for method in found]
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "results.json", content | {"rows": rows})
        plan = {"version": content["version"], "name": file.stem, "task": content["task"], "methods": titles}
        write_json(Path(folder) / "study.json", plan)
        return read_study(Path(folder)).results


def figures(results: Results) -> dict[str, Plot]:
    """The figures by measure."""
    plots = {plot.table.columns[-1].name: plot for plot in accuracy_plots(results)}
    return {measure: plots[measure] for measure in MEASURES if measure in plots}


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
    with tempfile.TemporaryDirectory() as folder:
        save_figures(list(plots.values()), Path(folder))
        for measure, plot in plots.items():
            stem = f"{options.results.stem}_{measure}"
            shutil.copy(Path(folder) / f"{plot.name}.csv", options.output_dir / f"{stem}.csv")
            # A page may be dark, and ink is not.
            svg = (Path(folder) / f"{plot.name}.svg").read_text(encoding="utf-8")
            svg = svg.replace("<defs>", '<rect width="100%" height="100%" fill="#ffffff"/>\n <defs>', 1)
            with atomic_file(options.output_dir / f"{stem}.svg") as file:
                file.write_text(svg, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
