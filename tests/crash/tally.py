"""Counts the tested and known points by store, kind of failure and operation.

A test records its numbers as a property of the test report, so that they are counted across
processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

PROPERTY = "points"

Note = Callable[[str, Any], None]


def note(record_property: Note, layer: str, scenario: str, tried: int, known: int) -> None:
    """Record the points of one test.

    :param layer: the action and the store.
    """
    record_property(PROPERTY, [layer, scenario, tried, known])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried: Counter[tuple[str, str]] = Counter()
    known: Counter[tuple[str, str]] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY and report.when == "call":
                    layer, scenario, few, all_ = value
                    tried[layer, scenario] += few
                    known[layer, scenario] += all_
    if not known:
        return
    terminalreporter.section("points at which it was killed or made to fail")
    for layer in sorted({layer for layer, _ in known}):
        names = [name for of, name in known if of == layer]
        cells = [f"{n} {tried[layer, n]}/{known[layer, n]}" for n in names]
        few = sum(tried[layer, name] for name in names)
        total = sum(known[layer, name] for name in names)
        terminalreporter.line(f"{layer}: {few} of {total}: {', '.join(cells)}")
    terminalreporter.line(f"in all: {tried.total()} of {known.total()}")
