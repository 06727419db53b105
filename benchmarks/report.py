"""Writes the results as tables and plots, also into the documentation."""

from __future__ import annotations

import pathlib
import re

from benchmarks.measure import Figure, shown
from benchmarks.results import Curves, Results, Row, machine

_BEGIN, _END = "<!-- measured -->", "<!-- end of measured -->"

#: The operations of the summary: their names in the rows, and for readers.
_SUMMARY = {
    "create": "create a volume",
    "connect": "connect a host",
    "disconnect": "disconnect a host",
    "delete": "delete a volume",
    "get_by_id": "find a volume by ID",
}


def table(results: Results) -> str:
    """All rows, in a table for each part."""
    noise = Figure.of(results.calibration, "ms")
    spread = 100 * (noise.high - noise.low) / noise.median
    here = machine()
    lines = [
        f"Python {here['python']}, {here['cores']} cores, {here['memory_gib']} GiB. A constant loop"
        f" took {noise} between the parts: a spread of {spread:.0f} %. The load was"
        f" {min(results.load):.1f} to {max(results.load):.1f}, including the benchmark.",
    ]
    for part in dict.fromkeys(row.part for row in results.rows):
        lines += ["", f"### {part.capitalize()}", ""]
        lines += ["| | medians (quartiles) | value | limit | |", "| --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in results.rows if row.part == part]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    figures = "; ".join(f"{who}: {figure}" for who, figure in row.figures.items())
    value, limit = _value_and_limit(row)
    verdict = {None: "", True: "met", False: "**missed**"}[row.kept]
    return f"| {row.what} | {figures} | {value} | {limit} | {verdict} |"


def _value_and_limit(row: Row) -> tuple[str, str]:
    if row.value is None:
        return "", ""
    limit = ""
    if row.limit is not None:
        limit = f"{'≥' if row.at_least else '≤'} {shown(row.limit)}"
    return f"{shown(row.value.median)} {row.value.unit}", limit


def summary(results: Results) -> str:
    """The cost of the most frequent operations, one on each line."""
    stores = ("SQLite", "PostgreSQL", "etcd")
    lines = [f"| Operation | {' | '.join(stores)} |", f"| --- |{' --- |' * len(stores)}"]
    for step, name in _SUMMARY.items():
        figures = [_ours(results, f"{store}: {step}") for store in stores]
        cells = [f"{figure.median / 1000:.1f} ms" if figure else "" for figure in figures]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    listed = [_ours(results, f"{store}: volumes listed a second") for store in stores]
    cells = [f"{figure.median:,.0f} per second" if figure else "" for figure in listed]
    lines.append(f"| list volumes | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" + _service_summary(results)


def _service_summary(results: Results) -> str:
    """The values of the service and their limits."""
    rows = [row for row in results.rows if row.part == "service" and row.value is not None]
    if not rows:
        return ""
    lines = ["", "With the [service](service.md):", ""]
    lines += ["| Measured | Value | Limit |", "| --- | --- | --- |"]
    lines += [f"| {row.what} | {' | '.join(_value_and_limit(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _ours(results: Results, what: str) -> Figure | None:
    rows = (row for row in results.rows if row.what.partition(",")[0] == what)
    return next((row.figures["cinderlib"] for row in rows), None)


def into_page(text: str, page: pathlib.Path) -> None:
    """Replace the text between the markers of a page."""
    between = f"{_BEGIN}\n\n{text}\n{_END}"
    page.write_text(_measured(page).sub(lambda _: between, page.read_text(), count=1))


def parts_into_page(results: Results, page: pathlib.Path) -> None:
    """Replace the tables of the measured parts on the page with all tables; the others stay."""
    found = _measured(page).search(page.read_text())
    assert found is not None
    before, *sections = found[1].strip().split("\n### ")
    tables = {section.partition("\n")[0]: section for section in sections}
    note, *measured = table(results).strip().split("\n### ")
    for section in measured:
        title, _, rest = section.partition("\n")
        tables[title] = f"{title}\n\nMeasured in another run. {note.strip()}\n{rest}".strip()
    texts = (text.strip() for text in tables.values())
    into_page("\n\n### ".join([before.strip(), *texts]) + "\n", page)


def _measured(page: pathlib.Path) -> re.Pattern[str]:
    assert _BEGIN in page.read_text(), f"{page} has no place for measured values"
    return re.compile(f"{_BEGIN}(.*?){_END}", re.DOTALL)


def plot(results: Results, path: pathlib.Path) -> bool:
    """Draw the cost of each operation by the size of the store, if it was measured.

    :returns: whether it was measured.
    """
    return _draw(results.curves, path, width=5.0)


def summary_plot(results: Results, path: pathlib.Path) -> bool:
    """Draw the cost of the operations of the summary by the number of volumes.

    :returns: whether it was measured.
    """
    name = "volumes in the store"
    lines = results.curves.get(name, {})
    chosen = {_SUMMARY[step]: line for step, line in lines.items() if step in _SUMMARY}
    return _draw({name: chosen} if chosen else {}, path, width=7.0)


def _draw(curves: Curves, path: pathlib.Path, width: float) -> bool:
    if not curves:
        return False
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "cinderlib"  # stable output for the same figures
    from matplotlib import pyplot

    # In a column, so that a phone shows each at full width.
    figure, axes = pyplot.subplots(
        len(curves), 1, figsize=(width, 3.6 * len(curves)), squeeze=False
    )
    for axis, (name, lines) in zip(axes[:, 0], curves.items(), strict=True):
        for step, points in lines.items():
            sizes, times = zip(*points, strict=True)
            axis.plot(sizes, [time / 1000 for time in times], marker="o", markersize=3, label=step)
        axis.set(xscale="log", xlabel=name, ylabel="ms", ylim=(0, None))
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
