"""The table of results: scenarios by protocol, with the tested versions."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Iterator

import pytest

PROTOCOLS = (
    "iSCSI",
    "iSCSI multipath",
    "FC",
    "FC multipath",
    "NVMe/TCP",
    "NVMe/RDMA",
    "RBD",
    "NFS",
)
DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "connections.md"
_BEGIN, _END = "<!-- table: written by make lab -->\n", "<!-- table: end -->\n"

#: The tested versions, which the fixture of the controller sets.
VERSIONS = pytest.StashKey[dict[str, str]]()


class Table:
    """A pytest plugin that builds the table from the scenarios' ``shows`` marks."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()
        self._rows: dict[str, dict[str, bool]] = {}
        self._versions: dict[str, str] = {}

    # Reports are created where a scenario runs, and read where the table is written. With several
    # workers these are different processes.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        report: pytest.TestReport = yield
        if report.when == "teardown" or report.failed:
            shown = [list(mark.args) for mark in item.iter_markers("shows")]
            versions = item.config.stash.get(VERSIONS, {})
            report.user_properties.append(("shown", [shown, report.passed, versions]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "shown":
                shown, passed, versions = value  # type: ignore[misc]
                self._versions |= versions
                for scenario, *protocols in shown:
                    row = self._rows.setdefault(scenario, {})
                    for protocol in protocols:
                        row[protocol] = row.get(protocol, True) and passed

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._rows:
            return
        terminalreporter.section("results")
        text = self._text()
        terminalreporter.write_line(text)
        whole = not self._config.option.keyword and self._config.option.part is None
        if self._config.option.document and whole:
            write(text)

    def _text(self) -> str:
        lines = [["Scenario", *PROTOCOLS], ["---"] * (len(PROTOCOLS) + 1)]
        # Sorted by name, because with several workers the order varies.
        for scenario, row in sorted(self._rows.items()):
            cells = [{True: "passed", False: "**failed**", None: ""}[row.get(p)] for p in PROTOCOLS]
            lines.append([scenario, *cells])
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        versions = ", ".join(f"{name} {version}" for name, version in self._versions.items())
        minutes = (time.monotonic() - self._began) / 60
        day = time.strftime("%Y-%m-%d", time.gmtime())
        return f"{text}\nRun on {day} in {minutes:.0f} minutes.\n\nVersions: {versions}.\n"


def write(text: str) -> None:
    """Update the table in the documentation."""
    document = DOCUMENT.read_text()
    between = re.compile(f"({re.escape(_BEGIN)}).*({re.escape(_END)})", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", document))
