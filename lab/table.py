"""The table of what a run has shown: scenario by protocol, with the versions it was shown with."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Iterator

import pytest

PROTOCOLS = ("iSCSI", "iSCSI multipath", "NVMe/TCP", "RBD", "NFS")
DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "connections.md"
_BEGIN, _END = "<!-- table: written by make lab -->\n", "<!-- table: end -->\n"

#: The versions that a run has found; the fixture of the controller puts them here.
VERSIONS = pytest.StashKey[dict[str, str]]()


class Table:
    """What pytest does for the table: scenarios say by their marks ``shows`` what they show."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = time.monotonic()
        self._rows: dict[str, dict[str, bool]] = {}
        self._versions: dict[str, str] = {}

    # Where a scenario runs its reports are made, and where the table is written they are read: with
    # several workers these are different processes.

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
        terminalreporter.section("what was shown")
        text = self._text()
        terminalreporter.write_line(text)
        whole = not self._config.option.keyword and self._config.option.part is None
        if self._config.option.document and whole:
            write(text)

    def _text(self) -> str:
        lines = [["Scenario", *PROTOCOLS], ["---"] * (len(PROTOCOLS) + 1)]
        # Ordered by name: with several workers the order of the runs is another each time.
        for scenario, row in sorted(self._rows.items()):
            cells = [{True: "passed", False: "**failed**", None: ""}[row.get(p)] for p in PROTOCOLS]
            lines.append([scenario, *cells])
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        told = ", ".join(f"{name} {version}" for name, version in self._versions.items())
        minutes = (time.monotonic() - self._began) / 60
        day = time.strftime("%Y-%m-%d", time.gmtime())
        return f"{text}\nRun on {day} in {minutes:.0f} minutes with {told}.\n"


def write(text: str) -> None:
    """Put the table into the document."""
    document = DOCUMENT.read_text()
    between = re.compile(f"({re.escape(_BEGIN)}).*({re.escape(_END)})", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", document))
