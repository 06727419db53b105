"""The table of results: scenarios by protocol, with the tested versions."""

from __future__ import annotations

import pathlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from lab.machine import Machine

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
_SKIPPED = pytest.StashKey[bool]()

#: A cell of the table: the scenario and the protocol.
Cell = tuple[str, str]


class Table:
    """A pytest plugin that updates the table from the scenarios' ``shows`` marks.

    A run with some of the scenarios updates the cells of which it ran all scenarios.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        #: The number of scenarios of each cell, and their results in this run.
        self._expected: Counter[Cell] = Counter()
        self._results: dict[Cell, list[bool]] = {}
        self._versions: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Before -k deselects some.
        for item in items:
            if item.get_closest_marker("full") is None:
                self._expected.update(_cells(item))

    # Reports are created where a scenario runs, and read where the table is written. With several
    # workers these are different processes.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        report: pytest.TestReport = yield
        item.stash[_SKIPPED] = report.skipped or item.stash.get(_SKIPPED, False)
        if (report.when == "teardown" and not item.stash[_SKIPPED]) or report.failed:
            cells = [(*cell, self._expected[cell]) for cell in _cells(item)]
            versions = item.config.stash.get(VERSIONS, {})
            report.user_properties.append(("shown", [cells, report.passed, versions]))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "shown":
                cells, passed, versions = value  # type: ignore[misc]
                self._versions |= versions
                for scenario, protocol, expected in cells:
                    self._expected[scenario, protocol] = expected
                    self._results.setdefault((scenario, protocol), []).append(passed)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        found = {
            cell: all(results)
            for cell, results in self._results.items()
            if len(results) >= self._expected[cell] or not all(results)
        }
        if not found:
            return
        terminalreporter.section("results")
        text = _text(found, {}, self._versions)
        terminalreporter.write_line(text)
        if self._config.option.document:
            write(found, self._versions)


def _cells(item: pytest.Item) -> list[Cell]:
    marks = (mark.args for mark in item.iter_markers("shows"))
    return [(scenario, protocol) for scenario, *protocols in marks for protocol in protocols]


def _text(found: Mapping[Cell, bool], earlier: Mapping[str, list[str]], versions: object) -> str:
    """The table in Markdown.

    :param found: the results of this run.
    :param earlier: the cells of each scenario in earlier runs, and the day of the last one.
    """
    day = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [["Scenario", *PROTOCOLS, "Last run"], ["---"] * (len(PROTOCOLS) + 2)]
    # Sorted by name, because with several workers the order varies.
    for scenario in sorted({*earlier, *(scenario for scenario, _ in found)}):
        *cells, last = earlier.get(scenario, [""] * (len(PROTOCOLS) + 1))
        for at, protocol in enumerate(PROTOCOLS):
            if (scenario, protocol) in found:
                cells[at] = "passed" if found[scenario, protocol] else "**failed**"
                last = day
        lines.append([scenario, *cells, last])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{text}\nVersions of the last run: {versions}.\n"


def write(found: Mapping[Cell, bool], versions: Mapping[str, str]) -> None:
    """Update the table in the documentation.

    :param found: the results of this run.
    :param versions: of the tested programs.
    """
    document = DOCUMENT.read_text()
    between = re.compile(f"({re.escape(_BEGIN)})(.*)({re.escape(_END)})", re.DOTALL)
    match = between.search(document)
    assert match is not None
    rows = [line[2:-2].split(" | ") for line in match[2].splitlines() if line.startswith("| ")]
    earlier = {scenario: cells for scenario, *cells in rows[2:]}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    text = f"{match[1]}\n{_text(found, earlier, listed)}\n{match[3]}"
    DOCUMENT.write_text(document[: match.start()] + text + document[match.end() :])


def tested_versions(machine: Machine) -> dict[str, str]:
    """The tested versions, on the machine with the arrays."""
    packages = ("open-iscsi", "multipath-tools", "nvme-cli", "lvm2", "ceph-common", "postgresql-15")
    installed = machine.run(f"dpkg-query -W -f '${{Package}} ${{Version}}\\n' {' '.join(packages)}")
    found = {"kernel": machine.run("uname -r").strip()}
    found |= dict(line.split() for line in installed.splitlines())
    with machine.python() as python:
        python("from importlib.metadata import version")
        for name in ("cinderlib", "cinder", "os-brick"):
            found[name] = python("version(name)", name=name)
    return found
