# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tables and figures of accuracies by method and over demonstrations per class, and of the sets."""

from collections.abc import Sequence

from ..study.methods import METHODS, RERANKED, STUDENTS
from .figures import INK, NEUTRAL, SURFACE, Look, Plot, label, label_ends, look, new_figure
from .model import Results, Row, is_of_learner, measure_title
from .tables import Column, Table, shown
from .values import Estimate, estimate, number, slug

# Measurements of sets, by their names in the results of a study.
QUALITY = {
    "gradient_cosine": Column("gradient_cosine", "Gradient cosine", "number", 3),
    "distinct_2": Column("distinct_2", "Distinct-2", "number", 2),
    "self_bleu": Column("self_bleu", "Self-BLEU", "number", 2),
    "copies": Column("copies", "Copies, %", "percent"),
    "near_copies": Column("near_copies", "Near copies, %", "percent"),
    "label_consistency": Column("label_consistency", "Label confirmed, %", "percent"),
    "tokens_per_demonstration": Column("tokens_per_demonstration", "Tokens", "number"),
}
_ABOUT = {
    "gradient_cosine": "Gradient cosine: of the sets and real rows.",
    "distinct_2": "Distinct-2: share of word pairs that are distinct (higher is more varied).",
    "self_bleu": "Self-BLEU: how alike the texts of a set are (lower is more varied).",
    "near_copies": (
        "Copies and near copies: rows that repeat a training row; rows of which half the sequences of eight words, or "
        "most of the text, are in one. Samples are marked by another measure."
    ),
    "label_consistency": "Label confirmed: rows whose label a classifier of real rows agrees with.",
    "tokens_per_demonstration": "Tokens: of one demonstration in a prompt.",
}
_MANY_METHODS = 6  # of more, the intervals of all would cover one another


def accuracy_tables(results: Results) -> list[Table]:
    """The accuracies in context and those of classifiers, as there are any."""
    stem = slug("accuracy", results.subject)
    if not results.measures:
        return []
    if not results.in_context:
        return [_accuracies(results, results.of_learners, stem, f"Accuracy as training data on {results.subject}")]
    tables = [_accuracies(results, results.in_context, stem, f"Accuracy on {results.subject}")]
    if results.of_learners:
        title = f"Accuracy as training data on {results.subject}"
        tables.append(_accuracies(results, results.of_learners, f"{stem}-as-training-data", title))
    return tables


def _accuracies(results: Results, measures: Sequence[str], name: str, title: str) -> Table:
    """Accuracies of every method and number of demonstrations, the highest mean of each column in bold."""
    columns = [Column("dpc", "DPC", "count"), Column("method", "Method"), Column("num_sets", "Sets", "count")]
    seeded = any((row.num_training_seeds or 1) > 1 for row in results.rows)
    columns += [Column("num_training_seeds", "of seeds", "count")] * seeded
    columns += [Column(measure, _heading(measure, measures), "percent") for measure in measures]
    there = [row for row in results.rows if any(measure in row.accuracies for measure in measures)]
    rows = [
        [row.dpc, results.title(row.method), _num_sets(row)]
        + [row.num_training_seeds if results.method(row.method).kind == "generated" else None] * seeded
        + [row.accuracies.get(name) for name in measures]
        for row in there
    ]
    best = set()
    for j, _ in enumerate(measures, start=len(columns) - len(measures)):
        for dpc in results.dpcs:
            means = {i: row[j].mean for i, row in enumerate(rows) if row[0] == dpc and row[j] is not None}
            if len(set(means.values())) > 1:
                best |= {(i, j) for i, mean in means.items() if mean == max(means.values())}
    note = (
        "Accuracy in %, with 95 % intervals over sets and queries. DPC: demonstrations per class. Bold: the highest "
        "mean of its DPC and column, which is not yet a difference; see the paired differences."
    )
    if seeded:
        note += (
            " Of seeds: generators that were trained with different seeds; intervals are over these too where there "
            "are several, and too narrow where there are few: with three, and nothing else that varies, they hold the "
            "true value in three of four cases."
        )
    if all(map(is_of_learner, measures)):
        note += _about_learners(results, measures)
    return Table(name, title, columns, rows, note, frozenset(best))


def _about_learners(results: Results, measures: Sequence[str]) -> str:
    """Which of the classifiers the distillation has seen, and what chance is, as far as that is known."""
    note, seen = "", results.facts.get("learner", "").rpartition("/")[2]
    bases = {row.method.removesuffix(RERANKED) for row in results.rows} & METHODS.keys()
    distilled = any(METHODS[name].trained in STUDENTS for name in bases)
    if distilled and len(measures) > 1 and seen in (_heading(measure, measures) for measure in measures):
        note += f" {seen} is the learner of the distillation, which has not seen the others."
    if results.num_labels:
        note += f" Chance, with labels of equal size: {100 / results.num_labels:.1f} %."
    return note


def _heading(measure: str, measures: Sequence[str]) -> str:
    """The title of a measure, of classifiers among themselves without what they have in common."""
    if all(map(is_of_learner, measures)):
        return measure.partition(":")[2]
    return measure_title(measure)


def _num_sets(row: Row) -> int | str | None:
    """How many sets were measured, as a range where that depends on the measure."""
    return row.num_sets if row.fewest_sets is None else f"{row.fewest_sets} to {row.num_sets}"


def looks(results: Results) -> dict[str, Look]:
    """The look of every method, the same in all figures; no demonstrations are grey."""
    shown_ones = [method for method in results.methods if any(row.method == method.name for row in results.rows)]
    # What the page is about comes first: it has the strongest colours.
    main = results.main_method()
    ordered = [m for m in shown_ones if m == main]
    ordered += [m for m in reversed(shown_ones) if m.kind == "generated" and m != main]
    ordered += [m for m in shown_ones if m.kind not in ("generated", "none") and m != main]
    return {method.name: look(i) for i, method in enumerate(ordered)}


def accuracy_plots(results: Results) -> list[Plot]:
    """
    Accuracy over demonstrations per class, a figure for each measure; of one number of them, a figure of what was
    measured in context, and one of classifiers.
    """
    if not results.rows or not results.measures:
        return []
    if len(results.dpcs) < 2:
        return [_dots(results, measures) for measures in (results.in_context, results.of_learners) if measures]
    return [plot for measure in results.measures if (plot := _lines(results, measure)) is not None]


def _rows_with(results: Results, measure: str) -> list[Row]:
    return [row for row in results.rows if measure in row.accuracies]


def _numbers(results: Results, measures: Sequence[str], name: str, title: str) -> Table:
    columns = [Column("dpc", "DPC", "count"), Column("method", "Method")]
    columns += [Column(measure, _heading(measure, measures), "percent") for measure in measures]
    rows = [
        [row.dpc, results.title(row.method), *(row.accuracies.get(measure) for measure in measures)]
        for row in results.rows
        if any(measure in row.accuracies for measure in measures)
    ]
    return Table(name, title, columns, rows)


def error_bars(values: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of error bars in points, below and above; none where there is no interval."""
    known = [value if value.has_interval else Estimate(value.mean, value.mean, value.mean) for value in values]
    return [[max(0.0, 100 * (v.mean - v.low)) for v in known], [max(0.0, 100 * (v.high - v.mean)) for v in known]]


def _lines(results: Results, measure: str) -> Plot | None:
    rows, styles = _rows_with(results, measure), looks(results)
    dpcs = sorted({row.dpc for row in rows if row.dpc > 0})
    if not dpcs:
        return None
    title = results.titled(f"{measure_title(measure)}: accuracy over DPC")
    chance = 1 / results.num_labels if is_of_learner(measure) and results.num_labels else None
    names = [name for name in styles if any(row.method == name and row.dpc > 0 for row in rows)]
    baselines = [row for row in rows if row.dpc == 0]
    with_bars = names if len(names) <= _MANY_METHODS else _chief(results, names)

    def draw():
        figure, (axes,) = new_figure(5.6, 3.8)
        ends = []
        for row in baselines:
            mean = 100 * row.accuracies[measure].mean
            axes.axhline(mean, color=NEUTRAL, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
            ends.append((len(dpcs) - 0.78, mean, results.title(row.method), NEUTRAL))
        if chance is not None:
            axes.axhline(100 * chance, color=NEUTRAL, linewidth=1.2, linestyle=(0, (1, 2)), zorder=1)
        width = min(0.42, 0.1 * (len(with_bars) - 1))
        for i, name in enumerate(names):
            mine = [row for row in rows if row.method == name and row.dpc > 0]
            values = [row.accuracies[measure] for row in mine]
            bars, place = name in with_bars, with_bars.index(name) if name in with_bars else 0
            shift = width * (place / (len(with_bars) - 1) - 0.5) if bars and len(with_bars) > 1 else 0.0
            axes.errorbar(
                [dpcs.index(row.dpc) + shift for row in mine],
                [100 * value.mean for value in values],
                error_bars(values) if bars else None,
                color=styles[name].color,
                marker=styles[name].marker,
                markersize=6.5 if bars else 5,
                markeredgecolor=SURFACE,
                markeredgewidth=0.8,
                elinewidth=1.3,
                linewidth=2.2 if bars and i == 0 else 1.6 if bars else 1.0,
                zorder=20 - i if bars else 3,
            )
            ends.append((len(dpcs) - 0.78, 100 * values[-1].mean, results.title(name), styles[name].color))
        axes.set_xticks(range(len(dpcs)), [str(dpc) for dpc in dpcs])
        axes.set_xlim(-0.35, len(dpcs) - 0.76)
        axes.set(xlabel="Demonstrations per class (DPC)", ylabel="Accuracy, %")
        axes.grid(axis="y")
        axes.tick_params(length=0)
        label_ends(axes, ends)
        return figure

    of = "" if with_bars == names else f" of {' and '.join(map(results.title, with_bars))}, others in the table"
    caption = f"Points are means over sets, bars 95 % intervals over sets and queries{of}."
    if baselines:
        caption += " Dashed: without demonstrations."
    if chance is not None:
        caption += " Dotted: chance, with labels of equal size."
    name = slug("accuracy-over-dpc", results.subject, measure)
    most = max((row for row in rows if row.dpc == dpcs[-1]), key=lambda row: row.accuracies[measure].mean)
    description = (
        f"Lines of {len(names)} methods over DPC {', '.join(map(str, dpcs))}; accuracy in percent. Highest mean at "
        f"DPC {dpcs[-1]}: {results.title(most.method)}, {shown(most.accuracies[measure], Column('', kind='percent'))}."
    )
    return Plot(name, title, caption, description, _numbers(results, [measure], name, title), draw)


def _chief(results: Results, names: Sequence[str]) -> list[str]:
    """Of many methods those whose intervals are drawn: what the report is about, and what it is compared with."""
    chief = [method.name for method in (results.main_method(), results.reference_method()) if method is not None]
    return [name for name in names if name in chief] or list(names[:1])


def _dots(results: Results, measures: Sequence[str]) -> Plot:
    styles = looks(results)
    dpc = results.dpcs[0] if results.dpcs else 0
    rows = [row for row in results.rows if any(measure in row.accuracies for measure in measures)]
    names = list(dict.fromkeys(row.method for row in rows))
    of_learners = all(map(is_of_learner, measures))
    what = "Accuracy as training data" if of_learners and results.in_context else "Accuracy"
    title = results.titled(f"{what} with {dpc} demonstrations per class" if dpc else f"{what} without demonstrations")
    chance = 1 / results.num_labels if of_learners and results.num_labels else None

    def draw():
        height = 0.75 + 0.42 * len(names)
        figure, panels = new_figure(min(10.6, 1.6 + 2.7 * len(measures)), height, columns=len(measures), sharey=True)
        figure.get_layout_engine().set(w_pad=0.1)
        for axes, measure in zip(panels, measures, strict=True):
            if chance is not None:
                axes.axvline(100 * chance, color=NEUTRAL, linewidth=1.2, linestyle=(0, (1, 2)), zorder=1)
            for row in _rows_with(results, measure):
                value, y = row.accuracies[measure], names.index(row.method)
                style = styles.get(row.method, Look(NEUTRAL, "o"))
                axes.errorbar(
                    [100 * value.mean],
                    [y],
                    xerr=error_bars([value]),
                    color=style.color,
                    marker=style.marker,
                    markersize=7.5,
                    markeredgecolor=SURFACE,
                    markeredgewidth=0.8,
                    elinewidth=1.8,
                )
                text = shown(value.mean, Column("", kind="percent"))
                axes.annotate(
                    text, (100 * value.mean, y), (0, 6), textcoords="offset points", ha="center", va="bottom",
                    fontsize=8.5, color=style.color,
                )  # fmt: skip
            width = 60 if len(measures) < 4 else 34
            axes.set_title(label(_heading(measure, measures), width).replace(", ", ",\n", 1), loc="left")
            axes.set_xlabel("Accuracy, %")
            axes.set_yticks(range(len(names)), [label(results.title(name)) for name in names])
            axes.tick_params(axis="y", labelcolor=INK)
            axes.tick_params(length=0)
            axes.set_ylim(len(names) - 0.5, -0.6)
            axes.grid(axis="x")
            axes.spines["left"].set_visible(False)
        return figure

    name = slug("accuracy-of-methods", results.subject) + ("-as-training-data" if what != "Accuracy" else "")
    caption = "Points are means over sets, bars 95 % intervals over sets and queries."
    if chance is not None:
        caption += " Dotted: chance, with labels of equal size."
    description = (
        f"{len(names)} methods, one below the other; accuracy in percent, {len(measures)} panels of measures."
    )
    return Plot(name, title, caption, description, _numbers(results, measures, name, title), draw, wide=True)


def quality_table(results: Results) -> Table | None:
    """Other measurements of the sets, or None if there are none."""
    found = [name for name in QUALITY if any(name in row.quality for row in results.rows)]
    spreads = [name for name in results.measures if any(name in row.spreads for row in results.rows)]
    rows = [row for row in results.rows if row.quality or (row.spreads and (row.num_sets or 0) > 1)]
    if not rows:
        return None
    columns = [Column("dpc", "DPC", "count"), Column("method", "Method"), *(QUALITY[name] for name in found)]
    columns += [Column(f"sd_{m}", f"sd over sets, {measure_title(m).lower()}", "percent") for m in spreads]
    body = [
        [row.dpc, results.title(row.method), *map(row.quality.get, found), *map(row.spreads.get, spreads)]
        for row in rows
    ]
    about = [_ABOUT[name] for name in found if name in _ABOUT]
    about += ["sd: standard deviation of the accuracy over sets, in points."] * bool(spreads)
    note = " ".join(about)
    return Table(slug("sets", results.subject), results.titled("The sets"), columns, body, note)


def transfer_table(results: Results) -> Table | None:
    """Which measurements of sets go with accuracy, or None if that is not known."""
    entries = [
        (measure, row, correlation)
        for measure, found in results.transfer.items()
        for row in found
        if isinstance(row.get("measure"), str) and (correlation := estimate(row.get("correlation"))) is not None
    ]
    if not entries:
        return None
    columns = [
        Column("kind", "Accuracy"),
        Column("measure", "Goes with"),
        Column("correlation", "Rank correlation", "number", 2),
        Column("p_holm", "p (Holm)", "p"),
        Column("num_sets", "Sets", "count"),
        Column("num_groups", "Groups of sets", "count"),
    ]
    rows = []
    for kind, row, correlation in entries:
        name = row["measure"]
        title = QUALITY[name].heading.removesuffix(", %") if name in QUALITY else name.replace("_", " ")
        rest = [number(row.get(key)) for key in ("p_holm", "num_sets", "num_groups")]
        rows.append([measure_title(kind), title, correlation, *rest])
    note = (
        "Spearman's rank correlation of a measurement of a set and its accuracy in context, among sets of the same "
        "method, training seed and DPC (a group), with 95 % intervals over sets; p-values adjusted for the number of "
        "measurements. Around 0: sets that are better by this measurement are no better in context."
    )
    return Table(slug("transfer", results.subject), results.titled("What goes with accuracy"), columns, rows, note)
