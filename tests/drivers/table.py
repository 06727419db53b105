"""The results of docs/drivers.md: how far a run got with each driver.

``recorded.json`` has them for the next run to compare with; the page, for people.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections import Counter
from typing import Any

import pytest

from cinderlib.drivers import families, names

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "drivers.md"
_RECORDED = pathlib.Path(__file__).with_name("recorded.json")
_CALLS = ("reaches its array", "runs its command")
#: From the worst to the best; all calls are equal.
_OUTCOMES = ("does not load", "breaks", "refuses its options", "fails", "loads", *_CALLS)
#: The operations that drivers differ in, and their columns.
_OPERATIONS = {
    "volume.revert": "Revert",
    "volume.retype": "Retype",
    "volume.migrate": "Migrate",
    "volume.manage": "Manage",
    "volume.list_manageable": "List",
    "snapshot.manage": "Manage snapshots",
    "snapshot.attach": "Attach snapshots",
    "group_snapshot.create": "Groups",
    "backend.failover": "Failover",
    "group.replicate": "Replicated groups",
}
_CELLS = {"native": "N", "generic": "G", "none": ""}
#: Why the classes that do not call their array cannot do so in a test, or at all.
REASONS = {
    "cinder.volume.drivers.datera.datera_iscsi.DateraDriver": (
        "Its package dfs-sdk does not work with Python 3.11 or later."
    ),
    "cinder.volume.drivers.dell_emc.vnx.driver.VNXDriver": (
        "It needs storops before 1.2.6; the run has a later release, for Unity."
    ),
    "cinder.volume.drivers.linstordrv.LinstorIscsiDriver": (
        "It reads the option `iscsi_helper`, which Cinder no longer has."
    ),
    "cinder.volume.drivers.prophetstor.dpl_fc.DPLFCDriver": (
        "It encodes its password in a way that Python 3 refuses."
    ),
    "cinder.volume.drivers.prophetstor.dpl_iscsi.DPLISCSIDriver": (
        "It calls its array with the first operation. Then it fails like the other one."
    ),
    "cinder.volume.drivers.storpool.StorPoolDriver": (
        "It needs `/etc/storpool.conf`, which the StorPool client installs."
    ),
}
_ACCEPTED = {"does not load": "", "refuses its options": "no", "breaks": ""}


@functools.cache
def recorded() -> dict[str, tuple[str, str]]:
    """Class -> the outcome, and the called address or command or the reason."""
    return {path: tuple(result) for path, result in json.loads(_RECORDED.read_text()).items()}


def calls(outcome: str) -> bool:
    """Whether a driver with this outcome called its array."""
    return outcome in _CALLS


def rank(outcome: str) -> int:
    """How far an outcome is; a higher number is further.

    :raises ValueError: if it is none.
    """
    return min(_OUTCOMES.index(outcome), _OUTCOMES.index(_CALLS[0]))


class Table:
    """Collects what tests report: ``dial`` and ``simulator``."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._dialed: dict[str, tuple[str, str]] = {}
        self._ways: dict[str, dict[str, str]] = {}
        self._suites: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "dial" and report.when == "call":
                path, outcome, detail, ways = value  # type: ignore[misc]
                self._dialed[path] = (outcome, detail)
                self._ways[path] = ways
            elif name == "simulator" and report.when == "call" and report.passed:
                self._suites[str(value)] += 1

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        if not self._config.getoption("document", False):
            return
        try:
            if exitstatus:
                raise ValueError("a test failed")
            write(self._dialed, self._suites, self._ways)
        except ValueError as error:
            terminalreporter.write_line(f"docs/drivers.md is unchanged: {error}", red=True)
        else:
            terminalreporter.write_line("wrote docs/drivers.md and tests/drivers/recorded.json")


def write(
    dialed: dict[str, tuple[str, str]], suites: dict[str, int], ways: dict[str, dict[str, str]]
) -> None:
    """Record how far each driver got, here and in the page, and its operations, in the page.

    :raises ValueError: if not all tests ran.
    """
    if missing := [
        path for path in names.classes() if path[:7] == "cinder." and path not in dialed
    ]:
        raise ValueError(f"{len(missing)} drivers were not tried")
    if not suites:
        raise ValueError("the tests on simulators did not run")
    _RECORDED.write_text(json.dumps(dict(sorted(dialed.items())), indent=1) + "\n")
    paths = sorted(dialed, key=_family)
    can = _table(("Driver", *_OPERATIONS.values()), [])
    can += "".join(operations(path, ways[path]) for path in paths)
    text = _with_table(DOCUMENT.read_text(), "table", _results(dialed, suites))
    DOCUMENT.write_text(_with_table(text, "operations", can))


def _with_table(page: str, name: str, written: str) -> str:
    """A page with a new text between two marks."""
    before, begin, rest = page.partition(f"<!-- {name}: written by make drivers -->\n")
    _, end, after = rest.partition(f"<!-- {name}: end -->\n")
    return before + begin + written + end + after


def _results(dialed: dict[str, tuple[str, str]], suites: dict[str, int]) -> str:
    paths = sorted(dialed, key=_family)
    results = [_row(path, dialed[path][0], suites.get(path, 0)) for path in paths]
    reasons = [
        (*_family(path), REASONS.get(path) or _prose(": ".join(dialed[path])))
        for path in paths
        if not calls(dialed[path][0])
    ]
    heads = "Product", "Driver", "Loads", "Options accepted", "Calls its array", "On a simulator"
    return (
        _table(heads, results)
        + "\n### Drivers that do not call their array\n\n"
        + _table(("Product", "Driver", "Why"), reasons)
    )


def operations(path: str, ways: dict[str, str]) -> str:
    """The row of a driver in the table of operations.

    :param ways: operation -> ``'native'``, ``'generic'`` or ``'none'``; empty if they are unknown.
    """
    if not ways:
        return _table_row((_family(path)[1], *["?"] * len(_OPERATIONS)))
    found = dict(ways)
    if found["volume.revert"] == "none":
        found["volume.revert"] = found["volume.revert_by_copy"]
    return _table_row((_family(path)[1], *[_CELLS[found[name]] for name in _OPERATIONS]))


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "".join(map(_table_row, (heads, ("---",) * len(heads), *rows)))


def _table_row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _prose(detail: str) -> str:
    """A message of a driver, for a cell of a table."""
    return " ".join(detail.replace("|", "\\|").split())


def _family(path: str) -> tuple[str, str]:
    family = families.of(path)
    if family is None:
        product = "other"
    else:
        # A few vendors are named like their only product.
        product = " ".join(dict.fromkeys((family.vendor, family.product)))
    return product, f"`{names.short_name(path) or path.rpartition('.')[2]}`"


def _row(path: str, outcome: str, simulated: int) -> tuple[Any, ...]:
    return (
        *_family(path),
        "no" if outcome == "does not load" else "yes",
        _ACCEPTED.get(outcome, "yes"),
        "yes" if calls(outcome) else "",
        f"{simulated} tests pass" if simulated else "",
    )
