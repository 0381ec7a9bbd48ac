# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What methods and runs cost: tables, a figure of where the time goes, and one of accuracy over time."""

from collections.abc import Sequence

from ..provenance import read_json
from .accuracy import looks
from .collect import EVALUATIONS, Contents, Run
from .figures import INK, NEUTRAL, SURFACE, Look, Plot, label, look, new_figure
from .model import Results, Row, measure_title
from .tables import Column, Table, duration
from .values import mapping, mappings, number, slug

_SECONDS = {
    "train_seconds": "training the generator",
    "generate_seconds": "making the sets",
    "evaluate_seconds": "evaluating them",
}
_DAY = 86_400
_DURATIONS = sorted({n * unit for unit in (0.01, 1, 60, 3600, _DAY) for n in (1, 2, 5, 10, 20, 30)})
_COLUMNS = {
    **{key: Column(key, title.capitalize(), "seconds") for key, title in _SECONDS.items()},
    "peak_memory_mb": Column("peak_memory_mb", "Peak memory, MiB", "number", 0),
    "flops": Column("flops", "FLOPs, estimate", "scientific"),
}


def cost_table(results: Results) -> Table | None:
    """What each method cost, or None if that was not measured."""
    rows = [row for row in results.rows if row.cost]
    keys = [key for key in _COLUMNS if any(key in row.cost for row in rows)]
    if not keys:
        return None
    columns = [Column("dpc", "DPC", "count"), Column("method", "Method"), *(_COLUMNS[key] for key in keys)]
    body = [[row.dpc, results.title(row.method), *map(row.cost.get, keys)] for row in rows]
    note = "Time on the machine that ran the study. In CSV files: seconds."
    if "peak_memory_mb" in keys:
        note += " Memory: of the largest process, without that of a GPU."
    if "flops" in keys:
        note += (
            " FLOPs: parameters of generator, learner of the distillation and language model times tokens, without "
            "embeddings, output layers and attention."
        )
    return Table(slug("costs", results.subject), results.titled("What the methods cost"), columns, body, note)


def cost_plots(results: Results) -> list[Plot]:
    """Where the time of each method goes, and the accuracy over that time."""
    dpc = _common_dpc(results)
    rows = [row for row in results.rows if row.dpc in (0, dpc) and any(key in row.cost for key in _SECONDS)]
    if not rows:
        return []
    bars = [(results.title(row.method), {_SECONDS[k]: row.cost[k] for k in _SECONDS if k in row.cost}) for row in rows]
    title = results.titled(f"Time of each method with {dpc} demonstrations per class")
    plots = [_bars(slug("time", results.subject), title, list(_SECONDS.values()), bars)]
    measure = results.main_measure()
    measured = [row for row in rows if measure in row.accuracies and _total(row) > 0]
    if measure is not None and len(measured) > 1:
        plots.append(_scatter(results, measure, dpc, measured))
    return plots


def _common_dpc(results: Results) -> int:
    """The number of demonstrations per class for which most methods have a cost; the greatest of these."""
    counts = {dpc: sum(row.dpc == dpc and bool(row.cost) for row in results.rows) for dpc in results.dpcs}
    return max(counts, key=lambda dpc: (counts[dpc], dpc), default=0)


def _total(row: Row) -> float:
    return sum(row.cost.get(key, 0.0) for key in _SECONDS)


def _bars(name: str, title: str, parts: Sequence[str], bars: Sequence[tuple[str, dict[str, float]]]) -> Plot:
    used = [part for part in parts if any(part in values for _, values in bars)]
    longest = max(sum(values.values()) for _, values in bars)
    unit, seconds = next(
        ((unit, size) for unit, size in (("hours", 3600), ("minutes", 60)) if longest >= 2 * size), ("seconds", 1)
    )

    def draw():
        figure, (axes,) = new_figure(5.8, 0.95 + 0.34 * len(bars) + 0.25 * (len(used) > 1))
        for y, (_, values) in enumerate(bars):
            left = 0.0
            for i, part in enumerate(used):
                width = values.get(part, 0.0) / seconds
                axes.barh(y, width, left=left, height=0.62, color=look(i).color, edgecolor=SURFACE, linewidth=0.8)
                left += width
            axes.annotate(
                _duration(sum(values.values())), (left, y), (5, 0), textcoords="offset points", va="center",
                fontsize=8.5, color=INK,
            )  # fmt: skip
        axes.set_yticks(range(len(bars)), [label(title) for title, _ in bars])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.tick_params(length=0)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlim(0, max(longest / seconds, 1e-9) * 1.16)
        axes.set_xlabel(f"Time, {unit}")
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        if len(used) > 1:
            from matplotlib.patches import Patch

            handles = [Patch(color=look(i).color, label=part) for i, part in enumerate(used)]
            figure.legend(handles=handles, loc="outside upper left", ncols=len(used), fontsize=8.5, handlelength=1)
        return figure

    columns = [
        Column("of", ""),
        *(Column(slug(part).replace("-", "_"), part.capitalize(), "seconds") for part in used),
    ]
    rows = [[title, *map(values.get, used)] for title, values in bars]
    most = max(bars, key=lambda bar: sum(bar[1].values()))
    description = f"{len(bars)} bars of time. The longest is {most[0]}: {_duration(sum(most[1].values()))}."
    return Plot(name, title, "Time on the machine that ran it.", description, Table(name, title, columns, rows), draw)


def _scatter(results: Results, measure: str, dpc: int, rows: Sequence[Row]) -> Plot:
    styles = looks(results)
    title = results.titled(f"{measure_title(measure)}: accuracy over time")

    def draw():
        figure, (axes,) = new_figure(5.8, 3.5)
        for row in rows:
            value, style = row.accuracies[measure], styles.get(row.method, Look(NEUTRAL, "o"))
            limits = (value.low, value.high) if value.has_interval else (value.mean, value.mean)
            error = [[max(0.0, 100 * (value.mean - limits[0]))], [max(0.0, 100 * (limits[1] - value.mean))]]
            axes.errorbar(
                [_total(row)],
                [100 * value.mean],
                yerr=error,
                color=style.color,
                marker=style.marker,
                markersize=8,
                markeredgecolor=SURFACE,
                elinewidth=1.2,
                linestyle="",
                label=label(results.title(row.method)),
            )
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8.5, labelcolor="linecolor"
        )
        axes.set_xscale("log")
        axes.margins(x=0.12)
        ticks = duration_ticks(*axes.get_xlim(), [_total(row) for row in rows])
        axes.set_xticks(ticks, [tick_label(tick) for tick in ticks])
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.set(xlabel="Time of training, making the sets and evaluating them (log scale)", ylabel="Accuracy, %")
        axes.grid()
        axes.tick_params(which="both", length=0)
        return figure

    name = slug("accuracy-over-time", results.subject)
    columns = [
        Column("method", "Method"),
        Column("seconds", "Time", "seconds"),
        Column(measure, "Accuracy", "percent"),
    ]
    body = [[results.title(row.method), _total(row), row.accuracies[measure]] for row in rows]
    caption = f"With {dpc} demonstrations per class (or none); bars are 95 % intervals. Upper left is better."
    description = f"{len(rows)} methods by their time and their accuracy in percent."
    return Plot(name, title, caption, description, Table(name, title, columns, body), draw)


def duration_ticks(low: float, high: float, values: Sequence[float]) -> list[float]:
    """
    Returns a few ticks for a logarithmic axis of seconds from `low` to `high`, at durations that people would choose;
    if fewer than two of these are within it, some of the values that it shows.
    """
    chosen = _apart([tick for tick in _DURATIONS if low <= tick <= high], low, high)
    return chosen if len(chosen) > 1 else _apart(sorted(values), low, high)


def _apart(ticks: Sequence[float], low: float, high: float) -> list[float]:
    """Ticks without those that are so near to the one before that their labels would touch, or be the same."""
    apart = (high / low) ** 0.18
    kept: list[float] = []
    for tick in ticks:
        if not kept or (tick >= kept[-1] * apart and tick_label(tick) != tick_label(kept[-1])):
            kept.append(tick)
    return kept


def tick_label(seconds: float) -> str:
    """Returns a duration as an axis has it, in the unit that people would choose."""
    if seconds >= _DAY:
        return f"{seconds / _DAY:.3g} d"
    return _duration(seconds).replace(".0 ", " ")


def _duration(seconds: float) -> str:
    """Like `duration`, with more digits below a second."""
    return f"{seconds:.2g} s" if seconds < 1 else duration(seconds)


def run_costs(contents: Contents) -> tuple[Table, Plot | None] | None:
    """What each run of a directory that is no study cost, and a figure of it; None if none recorded that."""
    rows = []
    for run in contents.runs:
        if not run.metadata or run.stage == "demo":
            continue
        peak = number(run.metadata.get("process_peak_memory_mb"))
        rows.append([run.name, run.stage, _seconds(run), peak])
    seconds = _demo_seconds(contents)
    if not rows or not (seconds or any(value is not None for row in rows for value in row[2:])):
        return None
    columns = [
        Column("run", "Run"),
        Column("stage", "Stage"),
        Column("seconds", "Time", "seconds"),
        Column("process_peak_memory_mb", "Peak memory of the process, MiB", "number", 0),
    ]
    note = (
        "Time: of training, or of answering the queries, where it was recorded. Memory: the greatest of the process "
        "up to its end, earlier stages in it included."
    )
    table = Table("costs", "What the runs cost", columns, rows, note)
    bars = [(name, {"time": value}) for name, value in seconds.items()]
    bars = bars or [(name, {"time": value}) for name, _, value, _ in rows if value is not None]
    title = "Time of the stages" if seconds else "Time of the runs"
    return table, _bars("time", title, ["time"], bars) if bars else None


def _seconds(run: Run) -> float | None:
    seconds = number(run.metadata.get("train_seconds"))
    if seconds is None and run.stage in EVALUATIONS:
        parts = [number(entry.get("seconds")) for entry in mappings(run.results.get("aggregates"))]
        seconds = sum(part for part in parts if part is not None) if any(p is not None for p in parts) else None
    return seconds


def _demo_seconds(contents: Contents) -> dict[str, float]:
    """Seconds of the stages of a demonstration that is reported on."""
    for run in contents.of_stages("demo"):
        file = run.path / "summary.json"
        if file.is_file():
            found = mapping(mapping(read_json(file)).get("seconds"))
            return {str(name): value for name, item in found.items() if (value := number(item)) is not None}
    return {}
