"""The results as a table, a plot, and a part of a page."""

from __future__ import annotations

import pathlib
import re

from benchmarks.measure import Figure, shown
from benchmarks.results import Results, Row, machine

_BEGIN, _END = "<!-- measured -->", "<!-- end of what was measured -->"


def table(results: Results) -> str:
    """All rows as tables, a part each."""
    noise = Figure.of(results.calibration, "ms")
    spread = 100 * (noise.high - noise.low) / noise.median
    here = machine()
    lines = [
        f"Python {here['python']}, {here['cores']} cores, {here['memory_gib']} GiB. A loop that is"
        f" always the same took {noise} between the parts: a spread of {spread:.0f} %. The load was"
        f" {min(results.load):.1f} to {max(results.load):.1f}, ours included.",
    ]
    for part in dict.fromkeys(row.part for row in results.rows):
        lines += ["", f"### {part.capitalize()}", ""]
        lines += ["| | medians (quartiles) | value | limit | |", "| --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in results.rows if row.part == part]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    figures = "; ".join(f"{who}: {figure}" for who, figure in row.figures.items())
    value = "" if row.value is None else f"{shown(row.value.median)} {row.value.unit}"
    limit = ""
    if row.limit is not None and row.value is not None:
        limit = f"{'≥' if row.at_least else '≤'} {shown(row.limit)}"
    verdict = {None: "", True: "kept", False: "**missed**"}[row.kept]
    return f"| {row.what} | {figures} | {value} | {limit} | {verdict} |"


def into_page(results: Results, page: pathlib.Path) -> None:
    """Put the table between the markers of a page."""
    text = page.read_text()
    between = f"{_BEGIN}\n\n{table(results)}\n{_END}"
    page.write_text(re.sub(f"{_BEGIN}.*?{_END}", lambda _: between, text, count=1, flags=re.DOTALL))


def plot(results: Results, path: pathlib.Path) -> bool:
    """Draw what an operation costs by how much there is, if that was measured.

    :returns: whether it was.
    """
    if not results.curves:
        return False
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "cinderlib"  # the same picture for the same figures
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results.curves), figsize=(15, 4.5))
    for axis, (name, lines) in zip(axes, results.curves.items(), strict=True):
        for step, points in lines.items():
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=step)
        axis.set(xscale="log", xlabel=name, ylabel="µs", ylim=(0, None))
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
