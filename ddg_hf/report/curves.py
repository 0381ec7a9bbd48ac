# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""Curves of training runs: the cosine of gradients, and losses."""

from collections.abc import Sequence
from dataclasses import dataclass

from .collect import TRAINING, Contents, Run
from .figures import MUTED, Look, Plot, label, look, new_figure
from .tables import Column, Table
from .values import number, slug

_MANY = 80  # points of a curve; with more its moving average is what one can see
_LABEL = "label_gradient_cosine/"
# Of real rows: the same at every evaluation, so a line across the figure.
_LEVELS = {"eval_real_gradient_cosine": ":", "eval_exchanged_gradient_cosine": "-."}


@dataclass(frozen=True)
class _Series:
    """Values of one kind in one run: steps, values, and the name of the run."""

    run: str
    key: str
    steps: list[float]
    values: list[float]


def training_plots(contents: Contents) -> list[Plot]:
    """The figures of all training runs: gradient cosine, losses in distillation, losses in pretraining."""
    runs = [run for run in contents.of_stages(*TRAINING) if run.log]
    distilled = [run for run in runs if run.stage == "distill"]
    plots = [
        _plot(
            "gradient-cosine",
            "Gradient cosine in distillation",
            "Cosine of the gradient of real texts and that of generated ones, mean over the labels (what distillation "
            "optimises). It belongs to another learner and other texts at every step, and every learner begins with a "
            "fresh head, so that the line goes up and down; rings are measured on fresh texts and fixed learners.",
            "Cosine",
            distilled,
            {
                "gradient_cosine": "training",
                "eval_gradient_cosine": "evaluation",
                "eval_real_gradient_cosine": "real rows",
                "eval_exchanged_gradient_cosine": "labels exchanged",
            },
            band=True,
        ),
        _plot(
            "distillation-loss",
            "Loss of the generator in distillation",
            "Nats per token of the generator. Solid: on its own texts, which falls as it narrows down. Dashed: on "
            "real texts that it was not trained on, which rises as it forgets.",
            "Nats per token",
            distilled,
            {"synthetic_nll": "own texts", "held_out_nll": "real texts"},
        ),
        _plot(
            "pretraining-loss",
            "Loss of the generator in pretraining",
            "Nats per token of the generator. Solid: on training rows. Rings: on validation rows.",
            "Nats per token",
            [run for run in runs if run.stage == "pretrain"],
            {"loss": "training", "eval_nll": "evaluation"},
        ),
    ]
    return [plot for plot in plots if plot is not None]


def _series(run: Run, key: str) -> _Series:
    points = {
        step: value
        for entry in run.log
        if (step := number(entry.get("step"))) is not None and (value := number(entry.get(key))) is not None
    }
    return _Series(run.name, key, list(points), list(points.values()))


def _plot(
    stem: str, title: str, caption: str, axis: str, runs: Sequence[Run], keys: dict[str, str], band: bool = False
) -> Plot | None:
    found = [series for run in runs for key in keys if (series := _series(run, key)).steps]
    if not found:
        return None
    names = list(dict.fromkeys(series.run for series in found))
    styles = {name: look(i) for i, name in enumerate(names)}
    by_name = {run.name: run for run in runs}
    kinds = {key: text for key, text in keys.items() if any(series.key == key for series in found)}
    averaged = any(len(series.steps) > _MANY for series in found)

    def draw():
        figure, (axes,) = new_figure(5.6, 3.3)
        for series in found:
            style = styles[series.run]
            if series.key in _LEVELS:
                if len(names) == 1:
                    axes.axhline(series.values[-1], color=style.color, linestyle=_LEVELS[series.key], linewidth=1.2)
                continue
            if series.key.startswith("eval_"):
                axes.plot(
                    series.steps, series.values, "o", color=style.color, markerfacecolor="none", markersize=7, zorder=5
                )
                continue
            _line(axes, series, style, dashed=list(keys).index(series.key) > 0)
        if band and len(names) == 1:
            _label_band(axes, by_name[names[0]], styles[names[0]])
        shown = {key: kind for key, kind in kinds.items() if len(names) == 1 or key not in _LEVELS}
        _legend(figure, axes, {name: styles[name].color for name in names}, shown)
        axes.set(xlabel="Update", ylabel=axis)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        axes.margins(x=0.03)
        return figure

    text = caption
    if band and len(names) == 1 and any(_label_range(by_name[names[0]])):
        text += " Shaded: from the least to the greatest of the labels."
    if len(names) == 1 and kinds.keys() & _LEVELS.keys():
        text += " Dotted: of training rows, drawn at random; dash-dotted: of these under other labels."
    if averaged:
        text += " Strong: moving average of the thin line."
    first, last = found[0].values[0], found[0].values[-1]
    description = (
        f"{axis} over updates of {len(names)} run{'s' * (len(names) > 1)}. {names[0]}: {keys[found[0].key]} from "
        f"{first:.3f} to {last:.3f} in {len(found[0].steps)} points."
    )
    return Plot(slug(stem), title, text, description, _table(stem, title, found, keys), draw)


def _legend(figure, axes, runs: dict[str, str], kinds: dict[str, str]) -> None:
    """Above the axes: what the kinds of lines are, and, of several runs, their colours."""
    handles = []
    if len(kinds) > 1:
        lines = iter(("-", (0, (4, 2))))
        for key, text in kinds.items():
            if key in _LEVELS:
                style = {"linestyle": _LEVELS[key]}
            elif key.startswith("eval_"):
                style = {"marker": "o", "markerfacecolor": "none", "linestyle": ""}
            else:
                style = {"linestyle": next(lines)}
            handles += axes.plot([], [], color=MUTED, label=text, **style)
    if len(runs) > 1:
        handles += [axes.plot([], [], color=color, label=label(name))[0] for name, color in runs.items()]
    if handles:
        columns = min(len(handles), 3)
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, labelcolor="linecolor", fontsize=8.5)


def _line(axes, series: _Series, style: Look, dashed: bool) -> None:
    line = (0, (4, 2)) if dashed else "-"
    if len(series.steps) <= _MANY:
        marker = {"marker": ".", "markersize": 6} if len(series.steps) <= 20 else {}
        axes.plot(series.steps, series.values, color=style.color, linestyle=line, **marker)
        return
    axes.plot(series.steps, series.values, color=style.color, linewidth=0.7, alpha=0.35)
    axes.plot(series.steps, moving_average(series.values), color=style.color, linewidth=2, linestyle=line)


def moving_average(values: Sequence[float]) -> list[float]:
    """Returns the mean of each value and its neighbours, a sixtieth of all on either side; fewer at the ends."""
    half = max(1, len(values) // 60)
    total = [0.0]
    for value in values:
        total.append(total[-1] + value)
    bounds = [(max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values))]
    return [(total[stop] - total[start]) / (stop - start) for start, stop in bounds]


def _label_range(run: Run) -> tuple[list[float], list[float], list[float]]:
    """Steps, and the least and the greatest cosine of any label."""
    steps, low, high = [], [], []
    for entry in run.log:
        values = [v for key, value in entry.items() if key.startswith(_LABEL) and (v := number(value)) is not None]
        if len(values) > 1 and number(entry.get("step")) is not None:
            steps.append(entry["step"])
            low.append(min(values))
            high.append(max(values))
    return steps, low, high


def _label_band(axes, run: Run, style: Look) -> None:
    steps, low, high = _label_range(run)
    if len(steps) > _MANY:
        low, high = moving_average(low), moving_average(high)
    if steps:
        axes.fill_between(steps, low, high, color=style.color, alpha=0.14, linewidth=0)


def _table(stem: str, title: str, found: Sequence[_Series], keys: dict[str, str]) -> Table:
    cells: dict[tuple[str, float], dict[str, float]] = {}
    for series in found:
        for step, value in zip(series.steps, series.values, strict=True):
            cells.setdefault((series.run, step), {})[series.key] = value
    present = [key for key in keys if any(series.key == key for series in found)]
    columns = [Column("run", "Run"), Column("step", "Update", "count")]
    columns += [Column(key, keys[key].capitalize(), "number", 4) for key in present]
    order = {name: i for i, name in enumerate(dict.fromkeys(series.run for series in found))}
    rows = [
        [run, step, *map(values.get, present)]
        for (run, step), values in sorted(cells.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    ]
    return Table(slug(stem), title, columns, rows)
