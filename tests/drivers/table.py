"""The table of docs/drivers.md: what a run has shown of each product family."""

from __future__ import annotations

import json
import pathlib
from collections import defaultdict
from typing import Any

import pytest

from cinderlib.drivers import families, names

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "drivers.md"
RECORDED = pathlib.Path(__file__).with_name("recorded.json")
_BEGIN, _END = "<!-- table: written by make drivers -->\n", "<!-- table: end -->\n"
_ACCEPTED = {"does not load": "", "refuses its options": "no", "breaks": "", "fails": "yes"}
_CALLS = {"reaches its array": "yes", "runs its command": "yes"}


class Table:
    """Collects what tests report: ``dial`` and ``simulator``."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._dialed: dict[str, tuple[str, str]] = {}
        self._suites: defaultdict[str, list[bool]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "dial" and report.when == "call":
                path, outcome, detail = value  # type: ignore[misc]
                self._dialed[path] = (outcome, detail)
            elif name == "simulator" and report.when == "call" and not report.skipped:
                self._suites[str(value)].append(report.passed)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        config = self._config
        whole = not config.option.keyword and getattr(config.option, "part", None) is None
        if getattr(config.option, "document", False) and whole and self._dialed:
            write(self._dialed, self._suites)
            terminalreporter.write_line(f"wrote {DOCUMENT}")


def write(dialed: dict[str, tuple[str, str]], suites: dict[str, list[bool]]) -> None:
    """Put the table into the page, and record how far each driver got."""
    got = {path: got for path, got in sorted(dialed.items()) if got[0] != "does not load"}
    RECORDED.write_text(json.dumps(got, indent=1) + "\n")
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    DOCUMENT.write_text(before + _BEGIN + _text(dialed, suites) + _END + after)


def _text(dialed: dict[str, tuple[str, str]], suites: dict[str, list[bool]]) -> str:
    heads = (
        "Product",
        "Driver",
        "Loads",
        "Options accepted",
        "Calls its array",
        "On its simulator",
    )
    rows = [_row(path, *dialed[path], suites.get(path, [])) for path in sorted(dialed, key=_family)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, ["---"] * len(heads), *rows))


def _family(path: str) -> tuple[str, str]:
    family = families.of(path)
    if family is None:
        product = "other"
    else:
        # A few vendors are named like their only product.
        product = " ".join(dict.fromkeys((family.vendor, family.product)))
    return product, names.short_name(path) or path.rpartition(".")[2]


def _row(path: str, outcome: str, detail: str, suite: list[bool]) -> tuple[Any, ...]:
    product, name = _family(path)
    loads = "needs a package" if outcome == "does not load" else "yes"
    simulated = f"{sum(suite)} of {len(suite)} tests" if suite else ""
    accepted = _ACCEPTED.get(outcome, "yes")
    return product, f"`{name}`", loads, accepted, _CALLS.get(outcome, ""), simulated
