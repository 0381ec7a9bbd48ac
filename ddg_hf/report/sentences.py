# Copyright 2026 The ddg_hf team. Licensed under the Apache License, Version 2.0.
"""What a report says, in sentences that are computed from the data: whoever wins, and whether that can be told."""

from collections.abc import Sequence

from .collect import Contents
from .differences import excludes_zero, is_significant
from .matching import matching_sentences
from .model import Comparison, Results, measure_title
from .samples import Samples
from .tables import Column, shown
from .values import estimate, number

_SHOWN_DIGITS = 3  # of a mean accuracy, a fraction that is shown in percent with one digit
_PERCENT, _POINTS = Column("", kind="percent"), Column("", kind="points")


def sentences(contents: Contents, found: Sequence[Results], samples: Samples) -> list[str]:
    """Returns what the data say, the most important first."""
    result = []
    for results in found:
        if results.rows:
            result += _highest(results)
            result += _focus(results)
            result += matching_sentences(results)
            result += _transfer(results)
            result += _power(results)
    result += _copies(samples)
    return result + _missing(contents)


def _highest(results: Results) -> list[str]:
    """Whose mean is the highest, at the greatest number of demonstrations that several methods have."""
    measure = results.main_measure()
    for dpc in reversed(results.dpcs):
        means = _means(results, measure, dpc)
        if len(means) > 1:
            return [
                f"On {results.subject}, {_in_a_sentence(measure)}, {_top(results, measure, dpc, means)}"
                f"{_beside_none(results, measure, max(means.values()))}."
            ]
    return []


def _means(results: Results, measure: str | None, dpc: int) -> dict[str, float]:
    """Mean accuracies of the methods with so many demonstrations, as exactly as they are shown."""
    rows = [row for row in results.rows if row.dpc == dpc and measure in row.accuracies]
    return {row.method: round(row.accuracies[measure].mean, _SHOWN_DIGITS) for row in rows}


def _top(results: Results, measure: str, dpc: int, means: dict[str, float]) -> str:
    best = [method for method, mean in means.items() if mean == max(means.values())]
    names = [results.title(method) for method in best]
    of = f"the highest mean accuracy of {len(means)} methods at DPC {dpc}"
    if len(best) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]} share {of}: {shown(means[best[0]], _PERCENT)} %"
    (row,) = (row for row in results.rows if (row.method, row.dpc) == (best[0], dpc))
    return f"{names[0]} has {of}: {shown(row.accuracies[measure], _PERCENT)} %"


def _beside_none(results: Results, measure: str, highest: float) -> str:
    """That demonstrations are worth nothing, if so: without any the mean is as high."""
    means = _means(results, measure, 0).values()
    if not means or max(means) < highest:
        return ""
    return f"; without demonstrations it is {shown(max(means), _PERCENT)} %"


def _in_a_sentence(measure: str) -> str:
    title = measure_title(measure)
    return title[0].lower() + title[1:]


def _focus(results: Results) -> list[str]:
    """The generated method that the report is about against real rows, a sentence for each measure."""
    main, other = results.main_method(), results.reference_method()
    if main is None or other is None:
        return []
    pairs = [
        c if c.a == main.name else c.turned() for c in results.comparisons if {c.a, c.b} == {main.name, other.name}
    ]
    by_measure: dict[str, list[Comparison]] = {}
    for comparison in sorted(pairs, key=lambda c: c.dpc):
        by_measure.setdefault(comparison.measure, []).append(comparison)
    return [compared(results, measure, members) for measure, members in by_measure.items()]


def compared(results: Results, measure: str, members: Sequence[Comparison]) -> str:
    """Returns a sentence about paired differences of the same two methods."""
    a, b = results.method(members[0].a), results.method(members[0].b)
    other = f"{b.title} real rows" if b.kind == "real" and "row" not in b.title else b.title
    parts = [f"{_with_unit(shown(one.difference, _POINTS))} at DPC {one.dpc}" for one in members]
    if not all(map(excludes_zero, members)) or len({one.difference.mean > 0 for one in members}) > 1:
        verb = f"less {other}:"
    else:
        verb = f"is {'ahead of' if members[0].difference.mean > 0 else 'behind'} {other}:"
    where = f"On {results.subject}: " if results.split else ""
    return f"{where}{measure_title(measure)}, {a.title} {verb} {', '.join(parts)}: {_verdict(members)}."


def _with_unit(value: str) -> str:
    mean, bracket, limits = value.partition(" [")
    return f"{mean} points{bracket}{limits}"


def _verdict(members: Sequence[Comparison]) -> str:
    known = [one for one in members if one.difference.has_interval]
    apart = [one for one in known if excludes_zero(one)]
    if not known:
        return "without intervals nothing can be told"
    if not apart:
        return "the interval includes zero" if len(known) == 1 else "every interval includes zero"
    where = "the interval excludes zero"
    if len(known) > 1:
        where = f"{len(apart)} of {len(known)} intervals {'excludes' if len(apart) == 1 else 'exclude'} zero"
    tested = [one for one in members if one.p_holm is not None]
    if not tested:
        return where
    clear = [one for one in apart if is_significant(one)]
    if len(members) == 1:
        return f"{where} (p after Holm's correction {_p(tested[0].p_holm)})"
    return f"{where}, {len(clear) or 'none'} with p below 0.05 after Holm's correction"


def _transfer(results: Results) -> list[str]:
    """Whether sets with a higher gradient cosine, which is what distillation raises, do better in context."""
    measure = results.main_measure()
    rows = [row for row in results.transfer.get(measure or "", []) if row.get("measure") == "gradient_cosine"]
    found = estimate(rows[0].get("correlation")) if rows else None
    num_sets = number(rows[0].get("num_sets")) if rows else None
    if found is None or not found.has_interval or num_sets is None:
        return []
    p_holm = number(rows[0].get("p_holm"))
    adjusted = "" if p_holm is None else f" (p after Holm's correction {_p(p_holm)})"
    clear = p_holm is None or p_holm < 0.05
    if clear and found.low > 0:
        what = "sets with a higher gradient cosine are more accurate in context"
    elif clear and found.high < 0:
        what = "sets with a higher gradient cosine are less accurate in context"
    else:
        what = "it cannot be told whether sets with a higher gradient cosine are more accurate in context"
    where = f" on {results.subject}" if results.split else ""
    correlation = shown(found, Column("", kind="number", digits=2))
    return [
        f"Among {_count(num_sets, 'set')}, each compared with others of its kind{where}, {what}: rank correlation "
        f"{correlation}{adjusted}."
    ]


def _p(value: float) -> str:
    p = shown(value, Column("", kind="p"))
    return p if p.startswith("<") else f"= {p}"


def _power(results: Results) -> list[str]:
    measure = results.main_measure()
    rows = [row for row in results.power.get(measure or "", []) if None not in map(number, _needs(row))]
    if not rows:
        return []
    points = min(row["points"] for row in rows)
    most = max((row for row in rows if row["points"] == points), key=lambda row: row["num_sets"] * row["num_queries"])
    _, num_sets, num_queries = _needs(most)
    dpc = number(most.get("dpc"))
    where = "" if dpc is None else f" with {_count(dpc, 'row')} per class"
    return [
        f"A true difference of {points:g} {'point' if points == 1 else 'points'}{where} would need about "
        f"{_count(num_sets, 'set')} of each method and {_count(num_queries, 'query')} to be found; this study has "
        f"{_has(results)}."
    ]


def _needs(row: dict) -> tuple:
    return row.get("points"), row.get("num_sets"), row.get("num_queries")


def _has(results: Results) -> str:
    sets = [row.num_sets for row in results.rows if row.num_sets and row.dpc > 0]
    parts = [f"up to {_count(max(sets), 'set')}"] if sets else []
    if "queries" in results.facts:
        parts.append(f"{results.facts['queries']} queries")
    return " and ".join(parts) or "fewer"


def _count(number_of: float, what: str) -> str:
    plural = {"query": "queries"}.get(what, f"{what}s")
    return f"{number_of:,.0f} {what if number_of == 1 else plural}"


def _copies(samples: Samples) -> list[str]:
    compared_rows = len(samples.compared)
    if not compared_rows:
        return []
    near = samples.near_copies
    share = f" ({100 * near / compared_rows:.1f} %)" if near else ""
    found = f"{near:,} of {compared_rows:,} rows of the sets{share}"
    verb = "is" if near == 1 else "are"
    beside = ""
    if samples.expected is not None:
        beside = f"; of real validation rows {100 * samples.expected:.1f} % are"
    return [f"{found} {verb} a training row, or nearly (similarity above 0.9){beside}."]


def _missing(contents: Contents) -> list[str]:
    if contents.study is None:
        return []
    cells = contents.study.cells
    failed = sum(cell.state == "failed" for cell in cells)
    waiting = sum(cell.state not in ("done", "failed") for cell in cells)
    if not failed and not waiting:
        return []
    parts = [f"{waiting} not run yet"] * bool(waiting) + [f"{failed} failed"] * bool(failed)
    return [f"The study is not finished: of {len(cells)} commands {' and '.join(parts)}."]
