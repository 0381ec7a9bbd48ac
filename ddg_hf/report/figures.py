# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""
The look of all figures, and their files. matplotlib draws them in the colours of a light page: as PNG and SVG for
papers, and inline, where every colour becomes a variable of the page, so that it follows light and dark.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from ..errors import UserError
from ..provenance import atomic_file
from ..terminal import printable, warn
from .tables import Table, to_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of a light page. Each is used for one thing, so that a variable of the page can replace it.
INK, MUTED, RULE, SURFACE, NEUTRAL = "#1c2024", "#5b6471", "#d8dde3", "#fffffe", "#6b7280"
HEAT = "#0062a3"
SERIES = ("#006ab8", "#b93800", "#006e4a", "#a5477d", "#746f2e", "#453186", "#1b4d5f", "#632b2e")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    SURFACE: "surface",
    NEUTRAL: "neutral",
    HEAT: "heat",
    **{color: f"series-{i}" for i, color in enumerate(SERIES)},
}
_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "text.parse_math": False,  # a name with two dollar signs is a name
    "axes.unicode_minus": True,
    "figure.dpi": 100,
}
_LEADER = {"arrowstyle": "-", "color": RULE, "lw": 0.7, "shrinkA": 0, "shrinkB": 3, "relpos": (0.0, 0.5)}
_COLOR = re.compile(r'(?<=: )#[0-9a-f]{6}(?=[;"])')
_OUTLINE = re.compile(r'(?<= d=")[^"]*')
_ID = re.compile(r'(\bid="|url\(#|href="#)')
_MISSING = re.compile(r"Glyph (\d+) .*missing from")
_FONTS = re.compile(r"'DejaVu Sans'(?:,\s*[^;\"]*)?")


class Look(NamedTuple):
    """Colour and marker of a series."""

    color: str
    marker: str


@dataclass(frozen=True)
class Plot:
    """
    A figure and the numbers that it shows.

    Attributes:
        name: Stem of its files.
        title: Its title, which is not drawn.
        caption: What a reader sees and has to know, in a few sentences.
        description: What a screen reader says of it: its axes and what stands out.
        table: The numbers.
        draw: Draws it.
        wide: Whether it takes the whole width of the page.
    """

    name: str
    title: str
    caption: str
    description: str
    table: Table
    draw: Callable[[], "Figure"]
    wide: bool = False


def require_matplotlib() -> None:
    """Raises `UserError` if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UserError("figures need matplotlib: pip install 'ddg_hf[report]'") from error


def look(position: int) -> Look:
    """Returns the look of the series at a position; after eight the colours come again with other markers."""
    return Look(SERIES[position % len(SERIES)], MARKERS[(position + position // len(SERIES)) % len(MARKERS)])


def label(text: str, longest: int = 34) -> str:
    """Returns a name as it is written in a figure: in one line that has room, without control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> "tuple[Figure, list[Axes]]":
    """Returns a figure of a size in inches and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def inline_svg(plot: Plot) -> Markup:
    """
    Returns the figure as an SVG element for a page: colours as variables, ids that no other figure has, a title and a
    description. Text in it was escaped by matplotlib.
    """
    with _missing_characters():  # the page has the fonts of the browser
        svg = _svg(plot, fonttype="none")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # it would be for the whole page
    svg = _COLOR.sub(lambda match: f"var(--{_VARIABLES[match[0]]})" if match[0] in _VARIABLES else match[0], svg)
    svg = _FONTS.sub("var(--font)", svg)
    svg = _OUTLINE.sub(lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), svg)  # finer than can be seen
    svg = _ID.sub(rf"\g<1>{plot.name}-", svg)
    width, height = (float(re.search(rf'<svg[^>]*?\b{side}="([\d.]+)pt"', svg)[1]) for side in ("width", "height"))
    box = f'viewBox="0 0 {width:g} {height:g}"'
    label = Markup('<title id="{0}-title">{1}</title><desc id="{0}-desc">{2}</desc>').format(
        plot.name, plot.title, plot.description
    )
    start = (
        f'<svg class="plot" role="img" aria-labelledby="{plot.name}-title {plot.name}-desc" {box} '
        f'style="--width: {width * 4 / 3:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return Markup(re.sub(r"<svg[^>]*>", lambda _: start + str(label), svg, count=1))


@contextlib.contextmanager
def _style(**options) -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context({**_STYLE, **options}):
        yield


@contextlib.contextmanager
def _missing_characters() -> Iterator[set[str]]:
    """Yields a set that at the end has the characters that the font lacked; matplotlib's warnings of them are kept."""
    missing: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=_MISSING.pattern)
        yield missing
    for one in caught:
        if found := _MISSING.match(str(one.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _svg(plot: Plot, fonttype: str) -> str:
    out = io.StringIO()
    # The same salt gives the same ids, and no date the same file, whenever it is drawn.
    with _style(**{"svg.fonttype": fonttype, "svg.hashsalt": plot.name}):
        plot.draw().savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def save_figures(plots: Sequence[Plot], folder: Path) -> None:
    """
    Writes `<name>.png` (300 dpi), `<name>.svg` (letters as outlines) and `<name>.csv` of each figure, and warns of
    characters that are boxes there.
    """
    missing: dict[str, set[str]] = {}
    for plot in plots:
        with _missing_characters() as lacking:
            _save(plot, folder)
        if lacking:
            missing[plot.name] = lacking
    if missing:
        characters = "".join(sorted(set().union(*missing.values())))
        warn(
            f"PNG and SVG files have boxes for characters that {_STYLE['font.family'][0]} lacks: "
            f"{printable(characters, 40)} (in {printable(', '.join(missing), 200)})"
        )


def _save(plot: Plot, folder: Path) -> None:
    with atomic_file(folder / f"{plot.name}.svg") as file:
        file.write_text(_svg(plot, fonttype="path"), encoding="utf-8")
    with _style(), atomic_file(folder / f"{plot.name}.png") as file:
        plot.draw().savefig(file, format="png", dpi=300, facecolor="white")
    with atomic_file(folder / f"{plot.name}.csv") as file:
        file.write_text(to_csv(plot.table), encoding="utf-8")


def spread_out(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Returns positions, moved so that they are `gap` apart and, if there is room, in the range."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    moved = [0.0] * len(positions)
    previous = low - gap
    for i in order:
        previous = moved[i] = max(positions[i], previous + gap)
    limit = high + gap
    for i in reversed(order):
        limit = moved[i] = min(moved[i], limit - gap)
    return moved


def label_ends(axes: "Axes", ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes names to the right of the ends (x, y, name, colour) of lines, so that none covers another."""
    if not ends:
        return
    low, high = axes.get_ylim()
    height = axes.get_figure().get_size_inches()[1] * 72 * 0.78
    gap = (high - low) * 12.5 / height
    right = max(x for x, *_ in ends)
    for (x, y, name, color), at in zip(ends, spread_out([y for _, y, *_ in ends], gap, low, high), strict=True):
        moved = abs(at - y) > gap / 3
        axes.annotate(
            label(name),
            (x, y),
            (right, at),
            xycoords="data",
            textcoords=_offset(axes, 12),
            color=color,
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops=_LEADER if moved else None,
        )


def _offset(axes: "Axes", points: float):
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.get_figure().dpi_scale_trans)
