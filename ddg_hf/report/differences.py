# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Tables and figures of paired differences, ranks, and how large a study must be."""

from collections.abc import Sequence

from .accuracy import error_bars
from .figures import INK, MUTED, NEUTRAL, SURFACE, Plot, label, look, new_figure
from .model import Comparison, Results, measure_title
from .tables import Column, Table
from .values import number, slug

_DIFFERENCE_COLUMNS = [
    Column("dpc", "DPC", "count"),
    Column("a", "Method"),
    Column("b", "Compared with"),
    Column("difference", "Difference, points", "points"),
    Column("p_value", "p", "p"),
    Column("p_holm", "p (Holm)", "p"),
]
_SIGNIFICANT = 0.05
_MANY_ROWS = 40  # a table of more is folded up


def difference_plots(results: Results) -> list[Plot]:
    """Paired differences of the method that the report is about from the others, a figure for each measure."""
    return [_differences(results, measure) for measure in dict.fromkeys(c.measure for c in main_comparisons(results))]


def main_comparisons(results: Results) -> list[Comparison]:
    """The comparisons of the method that the report is about, this one first; all if it is in none."""
    main = results.main_method()
    mine = [c for c in results.comparisons if main is not None and main.name in (c.a, c.b)]
    turned = [c if c.a == main.name else c.turned() for c in mine] if main is not None else []
    found = turned or list(results.comparisons)
    order = {method.name: i for i, method in enumerate(results.methods)}
    return sorted(found, key=lambda c: (c.dpc, order.get(c.a, 0), order.get(c.b, 0)))


def difference_tables(results: Results) -> list[Table]:
    """The paired differences of the method that the report is about, and those of all pairs if there are more."""
    if not results.comparisons:
        return []
    note = (
        "Accuracy of the method minus that of the other, on the same queries, in points, with 95 % intervals over "
        "sets and queries; p-values of a paired permutation test over the queries, by themselves and adjusted by Holm "
        "for the number of comparisons: in a study all pairs of methods with the same measure and DPC, else those "
        "of one measure. The p-value is about these very sets; the interval is about other sets, too, and may "
        "include zero where p is small: then the two are not told apart."
    )
    columns = [Column("measure", "Measure"), *_DIFFERENCE_COLUMNS]
    tables, mine = [], main_comparisons(results)
    for stem, title, members in (
        ("differences", "Paired differences", mine),
        ("all-differences", "Paired differences of all pairs of methods", results.comparisons),
    ):
        if not tables or len(members) > len(mine):
            measures = dict.fromkeys(comparison.measure for comparison in members)
            rows = [[measure_title(m), *row] for m in measures for row in _difference_rows(results, members, m)]
            folded = bool(tables) or len(rows) > _MANY_ROWS
            tables.append(
                Table(
                    slug(stem, results.subject), results.titled(title), columns, rows, note, folded=folded, header="b"
                )
            )
    return tables


def _difference_rows(results: Results, members: Sequence[Comparison], measure: str) -> list[list]:
    return [
        [c.dpc, results.title(c.a), results.title(c.b), c.difference, c.p_value, c.p_holm]
        for c in members
        if c.measure == measure
    ]


def excludes_zero(comparison: Comparison) -> bool:
    """Whether zero is outside of the interval."""
    difference = comparison.difference
    return difference.has_interval and (difference.low > 0 or difference.high < 0)


def is_significant(comparison: Comparison) -> bool:
    """Whether the adjusted p-value says that there is a difference."""
    return comparison.p_holm is not None and comparison.p_holm < _SIGNIFICANT


def _with_headings(members: Sequence[Comparison]) -> list[Comparison | str]:
    """The comparisons, and before those of each number of demonstrations a heading, if there are several."""
    dpcs = dict.fromkeys(comparison.dpc for comparison in members)
    lines: list[Comparison | str] = []
    for dpc in dpcs:
        lines += [f"DPC {dpc}"] * (len(dpcs) > 1)
        lines += [comparison for comparison in members if comparison.dpc == dpc]
    return lines


def _differences(results: Results, measure: str) -> Plot:
    everyone = main_comparisons(results)
    members = [comparison for comparison in everyone if comparison.measure == measure]
    title = results.titled(f"{measure_title(measure)}: paired differences")
    name = slug("differences", results.subject, measure)
    table = Table(name, title, _DIFFERENCE_COLUMNS, _difference_rows(results, everyone, measure), header="b")

    same = len({comparison.a for comparison in members}) == 1
    lines = _with_headings(members)

    def draw():
        figure, (axes,) = new_figure(5.8, 0.95 + 0.29 * len(lines))
        axes.axvline(0, color=MUTED, linewidth=1)
        for y, comparison in enumerate(lines):
            if isinstance(comparison, str):
                continue
            value, clear = comparison.difference, excludes_zero(comparison)
            color = look(0).color if clear else NEUTRAL
            axes.errorbar(
                [100 * value.mean],
                [y],
                xerr=error_bars([value]),
                color=color,
                marker="o",
                markersize=6.5,
                markerfacecolor=color if clear else SURFACE,
                markeredgewidth=1.4,
                elinewidth=1.5,
            )
        names = [
            line
            if isinstance(line, str)
            else f"{'' if same else f'{label(results.title(line.a))} − '}{label(results.title(line.b))}"
            for line in lines
        ]
        axes.set_yticks(range(len(lines)), names)
        for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
            tick.set(color=INK, fontweight="bold" if isinstance(line, str) else "normal")
        axes.tick_params(length=0)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        what = f"{label(results.title(members[0].a))} minus the other" if same else "Difference"
        axes.set_xlabel(f"{what}, points of accuracy")
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return figure

    apart = sum(map(excludes_zero, members))
    clear = sum(excludes_zero(comparison) and is_significant(comparison) for comparison in members)
    caption = f"Filled: {apart} of {len(members)} intervals exclude zero, {clear} with p (Holm) below {_SIGNIFICANT}."
    description = f"{len(members)} differences one below the other, with intervals and a line at zero. {caption}"
    return Plot(name, title, caption, description, table, draw)


def rank_table(results: Results) -> Table | None:
    """Mean ranks of the methods, or None if there are none."""
    measures = [measure for measure, rows in results.ranks.items() if rows]
    by_method: dict[str, dict[str, float]] = {}
    settings: set[int] = set()
    for measure in measures:
        for row in results.ranks[measure]:
            rank = number(row.get("mean_rank"))
            if isinstance(row.get("method"), str) and rank is not None:
                by_method.setdefault(row["method"], {})[measure] = rank
                settings |= {int(n)} if (n := number(row.get("num_settings"))) is not None else set()
    if not by_method:
        return None
    order = sorted(by_method, key=lambda name: by_method[name].get(measures[0], float("inf")))
    columns = [Column("method", "Method"), *(Column(m, measure_title(m), "number", 2) for m in measures)]
    rows = [[results.title(name), *(by_method[name].get(measure) for measure in measures)] for name in order]
    counted = f" Over {_range(settings)} {'setting' if settings == {1} else 'settings'}." if settings else ""
    note = f"Mean rank by mean accuracy; 1 is the highest.{counted} Ranks ignore how small a difference is."
    return Table(slug("ranks", results.subject), results.titled("Mean ranks"), columns, rows, note)


def _range(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"


def power_table(results: Results) -> Table | None:
    """How many sets and queries differences of some points need, or None if that is not known."""
    entries = [
        (measure, row)
        for measure, found in results.power.items()
        for row in found
        if number(row.get("points")) is not None
    ]
    if not entries:
        return None
    keys = {
        "dpc": "DPC",
        "points": "Difference, points",
        "num_sets": "Sets",
        "num_queries": "Queries",
        "sets_with_these_queries": "Sets, with as many queries as now",
        "queries_with_these_sets": "Queries, with as many sets as now",
    }
    there = [key for key in keys if any(key in row for _, row in entries)]
    columns = [Column("measure", "Measure"), *(Column(key, keys[key], "count") for key in there)]
    rows = [[measure_title(measure), *(number(row.get(key)) for key in there)] for measure, row in entries]
    names = [entries[0][1].get(key) for key in ("a", "b")]
    whose = f"of {results.title(names[0])} and {results.title(names[1])} " if all(names) else ""
    note = (
        "How many sets of each method and queries it takes to find a true difference of so many points with 80 % "
        f"power, by the spread {whose}seen here, with the generators that there are. No number: more of these alone "
        "are not enough."
    )
    return Table(slug("power", results.subject), results.titled("What a difference needs"), columns, rows, note)
