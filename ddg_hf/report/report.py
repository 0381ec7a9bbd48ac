# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Makes a report from a directory: collects what is there, and writes the page and the files for papers."""

import datetime
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..provenance import atomic_file, published_record
from . import accuracy, costs, differences
from .collect import EVALUATIONS, TRAINING, Contents, collect
from .confusion import MOST_NUMBERS, confusion_plots, confusion_table, confusions
from .curves import training_plots
from .evaluations import distilled, results_of
from .figures import Plot, require_matplotlib, save_figures
from .matching import matching_table
from .model import Cell, Results
from .nearest import MEASURE
from .page import Page, Section, render, with_own_names
from .real_rows import TrainingRows
from .samples import Samples, checks_table, leak_table, not_checked, samples_of, samples_table
from .sentences import sentences
from .study import Study
from .tables import Column, Table, duration, to_csv, to_latex, to_markdown
from .values import slug, text, without_paths


def make_report(
    source: str | os.PathLike,
    output: str | os.PathLike,
    training: TrainingRows | None = None,
    figures: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> Path:
    """
    Writes a report on a directory.

    Args:
        source: Directory of a study, of a run, or of several runs.
        output: The HTML file.
        training: Where the training rows come from that samples are compared with; by default what the runs recorded.
        figures: Directory for figures as PNG and SVG, and for tables as CSV, Markdown and LaTeX.
        overwrite: Whether files that exist may be replaced.

    Returns:
        The path of the page.

    Raises:
        UserError: nothing to report, a file that cannot be read, one that exists, or matplotlib is missing.
    """
    page_file = Path(output).expanduser()
    folder = None if figures is None else Path(figures).expanduser()
    check_targets(page_file, folder, overwrite)
    require_matplotlib()
    contents = collect(source)
    page, tables = _page(contents, training or TrainingRows())
    html = render(page)
    with atomic_file(page_file) as file:
        file.write_text(html, encoding="utf-8", newline="\n")
    if folder is not None:
        _write_files(page, tables, folder)
    return page_file


def check_targets(page: Path, folder: Path | None, overwrite: bool) -> None:
    """Raises `UserError` if the page or the directory of the figures is something else, or there already."""
    if page.is_dir():
        raise UserError(f"--output '{page}' is a directory; give the name of an HTML file in it")
    if page.exists() and not overwrite:
        raise UserError(f"'{page}' exists; pass --overwrite to replace it, or another --output")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output '{page}' is no name of a page; give one that ends in .html")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"--figures '{folder}' is a file; give a directory")
    if folder is not None and folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(f"--figures '{folder}' is not empty; pass --overwrite to replace files in it")


def _page(contents: Contents, training: TrainingRows) -> tuple[Page, list[Table]]:
    found = _all_results(contents)
    samples = samples_of(contents, training)
    sections = [section for results in found for section in _accuracy(results, several=len(found) > 1)]
    sections += [_training(contents), _costs(contents, found), _confusions(contents, found)]
    sections += [_samples(samples), _checks(contents), _commands(contents), _runs(contents)]
    kept = with_own_names([section for section in sections if section is not None])
    tables = [block for section in kept for block in section.blocks if isinstance(block, Table)]
    if samples.rows:
        tables.append(samples_table(samples))
    page = Page(
        title=contents.name,
        subtitle=_subtitle(contents, found),
        facts=_facts(contents, found),
        sentences=sentences(contents, found, samples),
        sections=kept,
        absent=_absent(contents, found, {section.id for section in kept}),
        created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return page, tables


def _all_results(contents: Contents) -> list[Results]:
    """What was measured: by the study, or, where it has no table yet, by the evaluations themselves."""
    if contents.study is not None and contents.study.results is not None:
        return [contents.study.results]
    return results_of(contents)


def _subtitle(contents: Contents, found: Sequence[Results]) -> str:
    tasks = list(dict.fromkeys(results.task for results in found))
    if not tasks:
        tasks = list(
            dict.fromkeys(text(run.metadata.get("task")) for run in contents.runs if run.metadata.get("task"))
        )
    kind = "Study" if contents.study is not None else f"{len(contents.runs)} runs" if len(contents.runs) > 1 else "Run"
    return f"{kind} on {', '.join(tasks)}" if tasks else kind


def _facts(contents: Contents, found: Sequence[Results]) -> list[tuple[str, str]]:
    facts: dict[str, str] = {}
    if len(found) == 1:
        facts |= {name.capitalize(): value for name, value in found[0].facts.items()}
    if contents.study is not None:
        cells = contents.study.cells
        done = sum(cell.state == "done" for cell in cells)
        facts["Commands done"] = f"{done} of {len(cells)}"
        seconds = sum(cell.seconds or 0.0 for cell in cells)
        if seconds:
            facts["Time"] = duration(seconds)
    return list(facts.items())


def _accuracy(results: Results, several: bool) -> list[Section]:
    """Accuracies, differences and the sets of one task and split."""
    if not results.rows:
        return []
    suffix = f"-{slug(results.task, results.facts.get('split', ''))}" if several else ""
    of = f" on {results.subject}" if several else ""
    sections = [
        Section(
            f"accuracy{suffix}",
            f"Accuracy{of}",
            blocks=[*accuracy.accuracy_tables(results), *accuracy.accuracy_plots(results), *_methods(results)],
        )
    ]
    pairs, more = differences.difference_plots(results), differences.difference_tables(results)
    more += [t for t in (differences.rank_table(results), differences.power_table(results)) if t is not None]
    if more:
        intro = (
            "Two methods are compared on the same queries, so that the difficulty of the queries cancels. The "
            "interval of a difference says what can be told; two intervals of accuracies that overlap do not."
        )
        sections.append(Section(f"differences{suffix}", f"Differences{of}", intro, [*pairs, *more]))
    tables = (
        accuracy.quality_table(results),
        accuracy.transfer_table(results),
        matching_table(results),
    )
    blocks = [table for table in tables if table is not None]
    if blocks:
        sections.append(Section(f"sets{suffix}", f"Sets{of}", blocks=blocks))
    return sections


def _methods(results: Results) -> list[Table]:
    """What the methods are, if that is known."""
    there = {row.method for row in results.rows}
    rows = [[method.title, method.about] for method in results.methods if method.about and method.name in there]
    if not rows:
        return []
    columns = [Column("method", "Method"), Column("about", "Where the demonstrations come from")]
    title = results.titled("The methods")
    return [Table(slug("methods", results.subject), title, columns, rows, folded=True)]


def _training(contents: Contents) -> Section | None:
    plots = training_plots(contents)
    return Section("training", "Training", blocks=plots) if plots else None


def _costs(contents: Contents, found: Sequence[Results]) -> Section | None:
    blocks: list[Plot | Table] = []
    for results in found:
        table = costs.cost_table(results)
        blocks += [*costs.cost_plots(results), *([table] if table is not None else [])]
    if not blocks and (measured := costs.run_costs(contents)) is not None:
        table, plot = measured
        blocks = [plot, table] if plot is not None else [table]
    return Section("costs", "Costs", blocks=blocks) if blocks else None


def _confusions(contents: Contents, found: Sequence[Results]) -> Section | None:
    matrices = confusions(contents)
    if not matrices:
        return None
    order = [method.title for results in found for method in results.methods]
    intro = "Rows are the true labels, columns what was answered; runs of the same method are added up."
    blocks = [*confusion_plots(matrices, order), confusion_table(matrices)]
    small = max(len(one.labels) for one in matrices) <= MOST_NUMBERS
    return Section("confusion", "Confusion", intro, blocks, small=small)


def _samples(samples: Samples) -> Section | None:
    if not samples.rows:
        return None
    intro = "Every row of the distilled sets."
    if samples.compared:
        intro += f" Beside it the training row that is nearest to it, by the {MEASURE}; above 0.9 it is a near copy."
    if samples.expected is not None:
        intro += f" Of real validation rows {100 * samples.expected:.1f} % are that similar to a training row."
    return Section("samples", "Samples", intro, samples=samples)


def _checks(contents: Contents) -> Section | None:
    table = checks_table(contents)
    if table is None:
        return None
    found = leak_table(contents)
    intro = (
        "What ddg-hf check looks for: copies and near copies of training, validation and test rows (leaks), broken "
        "texts, personal data, balance and variety. A clean report is no proof."
    )
    return Section("checks", "Leak check", intro, [table, *([found] if found is not None else [])])


def _commands(contents: Contents) -> Section | None:
    if contents.study is None or not contents.study.cells:
        return None
    groups = {
        "Failed": [cell for cell in contents.study.cells if cell.state == "failed"],
        "Not run yet": [cell for cell in contents.study.cells if cell.state not in ("done", "failed")],
        "Done": [cell for cell in contents.study.cells if cell.state == "done"],
    }
    lists = [
        (f"{title}: {len(cells)}", [(cell.name, _command_line(cell)) for cell in cells])
        for title, cells in groups.items()
        if cells
    ]
    intro = "What the study runs, command by command."
    return Section("commands", "Commands", intro, [_progress(contents.study)], groups=lists)


def _progress(study: Study) -> Table:
    """How many commands of each stage are done, by method; and the time that the rest are estimated to take."""
    stages = list(dict.fromkeys(cell.stage or "other" for cell in study.cells))
    titles = {method.name: method.title for method in study.methods}
    rows = []
    for name in dict.fromkeys(cell.method for cell in study.cells):
        mine = [cell for cell in study.cells if cell.method == name]
        counts = []
        for stage in stages:
            of_stage = [cell for cell in mine if (cell.stage or "other") == stage]
            done = sum(cell.state == "done" for cell in of_stage)
            counts.append(f"{done} of {len(of_stage)}" if of_stage else None)
        rest = sum(cell.estimated_seconds or 0.0 for cell in mine if cell.state != "done")
        rows.append([titles.get(name, name) if name else "(all)", *counts, rest or None])
    columns = [Column("method", "Method"), *(Column(stage, stage) for stage in stages)]
    columns.append(Column("estimated_seconds", "Still to run, estimated", "seconds"))
    return Table("progress", "Commands done", columns, rows)


def _command_line(cell: Cell) -> str:
    lines = [f"ddg-hf {shlex.join(cell.command)}" if cell.command else "(no command is recorded)"]
    if cell.error:
        lines.append(f"error: {cell.error}")
    if cell.seconds is not None:
        lines.append(f"took {duration(cell.seconds)}")
    elif cell.estimated_seconds is not None:
        lines.append(f"estimated: {duration(cell.estimated_seconds)}")
    return "\n".join(lines)


def _runs(contents: Contents) -> Section | None:
    runs = [run for run in contents.runs if run.metadata]
    if not runs:
        return None
    columns = [
        Column("run", "Run"),
        Column("stage", "Stage"),
        Column("created", "Made"),
        Column("ddg_hf_version", "ddg_hf"),
        Column("commit", "Commit"),
        Column("seed", "Seed"),
    ]
    rows = []
    for run in runs:
        record = run.metadata
        commit, seed = text(record.get("ddg_hf_commit"))[:10], run.arguments.get("seed")
        made = text(record.get("created"))[:16].replace("T", " ")
        version = text(record.get("ddg_hf_version"))
        rows.append([run.name, run.stage, made, version, commit, None if seed is None else str(seed)])
    groups = [] if contents.study is not None else [("Arguments of the runs", [(r.name, _arguments(r)) for r in runs])]
    return Section("runs", "Runs", blocks=[Table("runs", "Runs", columns, rows, folded=len(rows) > 40)], groups=groups)


def _arguments(run) -> str:
    record = published_record(run.arguments)
    return json.dumps(_without_paths(record), indent=2, ensure_ascii=False, default=str)


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return without_paths(value) if isinstance(value, str) else value


def _absent(contents: Contents, found: Sequence[Results], there: set[str]) -> list[tuple[str, str]]:
    """What the page does not have, and the command that would make it."""
    absent = []
    measured = [results for results in found if results.rows]
    if not contents.of_stages(*EVALUATIONS) and not measured:
        absent.append(("Accuracies and confusion matrices", "ddg-hf evaluate-icl --distilled SETS --output_dir ..."))
    elif contents.study is None and not any(results.comparisons for results in found):
        absent.append(
            ("Paired differences", "ddg-hf evaluate-icl --demonstrations balanced --output_dir ... (the same queries)")
        )
    if "training" not in there and not contents.of_stages(*TRAINING):
        absent.append(("Curves of training", "ddg-hf distill --task ... --output_dir ..."))
    if not distilled(contents):
        absent.append(("Samples", "ddg-hf generate --generator ... --output_dir ..."))
    where = "" if contents.study is None else "cells/"
    absent += [
        (f"Checks of {run.name}", f"ddg-hf check {where}{run.name} --task ...") for run in not_checked(contents)
    ]
    if contents.study is None:
        absent.append(("Ranks, and how many sets a difference needs", "ddg-hf study ..."))
    elif contents.study.results is None:
        absent.append(
            (
                "Gradient cosine, variety and copies of the sets, costs, ranks, and how many sets a difference needs",
                "ddg-hf study ... --plan true",
            )
        )
    return absent


def _write_files(page: Page, tables: Sequence[Table], folder: Path) -> None:
    save_figures([block for section in page.sections for block in section.blocks if isinstance(block, Plot)], folder)
    for table in tables:
        for suffix, form in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
            with atomic_file(folder / f"{table.name}.{suffix}") as file:
                file.write_text(form(table), encoding="utf-8", newline="\n")
