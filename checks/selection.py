"""Plugin of pytest: ``--part 2/5`` runs the tests marked ``core`` and a part of the others.

Without the option it changes nothing. The tests that did not run are listed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import time
from collections import defaultdict
from typing import Any

import pytest

from checks.parts import NO_TIME, Part

#: The recorded durations of tests, below the root of the project.
SECONDS = pathlib.Path("checks", "seconds.json")
#: Seconds: of a test without a record, and of the shortest test that is recorded.
_SHORT, _WORTH_RECORDING = 1.0, 3.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("a part of the tests")
    group.addoption(
        "--part", type=_part, metavar="K/N", help="the core tests and part K of N of the others"
    )
    group.addoption(
        "--core-only-after",
        type=float,
        metavar="TIME",
        help="skip tests that would begin later and are not core; in seconds since the epoch",
    )
    group.addoption(
        "--record-seconds",
        action="store_true",
        help=f"record in {SECONDS} how long tests take, so that parts take as long",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "core: belongs to every part of the tests; see --part")
    config.pluginmanager.register(_Selection(config), "selection")


def _part(text: str) -> Part:
    try:
        return Part.parse(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _is_core(item: pytest.Item) -> bool:
    return item.get_closest_marker("core") is not None


class _Selection:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._part: Part | None = config.option.part
        self._core_only_after: float | None = config.option.core_only_after
        #: Of the tests: how many are core, how many others are chosen, and which are not.
        self._outcome: tuple[int, int, list[str]] | None = None
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._part is None:
            return
        recorded = _recorded(self._config.rootpath)
        core = [item for item in items if _is_core(item)]
        others = [item for item in items if not _is_core(item)]
        chosen = self._part.choose(others, lambda item: recorded.get(_name(item.nodeid), _SHORT))
        left_out = sorted(set(others) - set(chosen), key=others.index)
        self._outcome = len(core), len(chosen), [item.nodeid for item in left_out]
        # Core first: when time is short, it is the others that are skipped.
        items[:] = [*core, *chosen]
        self._config.hook.pytest_deselected(items=left_out)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        late = self._core_only_after is not None and time.time() > self._core_only_after
        if late and not _is_core(item):
            pytest.skip(NO_TIME)

    # With tests in several processes, these choose the tests, and another process reports.

    def pytest_sessionfinish(self) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["selection"] = self._outcome
        elif self._config.option.record_seconds:
            _record(self._config.rootpath, self._seconds)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._outcome = getattr(node, "workeroutput", {}).get("selection") or self._outcome

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[_name(report.nodeid)] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._outcome is None:
            return
        core, chosen, left_out = self._outcome
        terminalreporter.section(f"part {self._part}")
        terminalreporter.write_line(
            f"part {self._part}: {core} core tests, {chosen} of {chosen + len(left_out)} others"
        )
        functions: dict[str, list[str]] = {}
        for name in left_out:
            function, _, parameters = name.partition("[")
            functions.setdefault(function, []).append(parameters.removesuffix("]"))
        for function, names in functions.items():
            which = f" [{', '.join(names)}]" if any(names) else ""
            terminalreporter.write_line(f"not in this part: {function}{which}")


def _name(nodeid: str) -> str:
    """The name of a test without the group that xdist appends."""
    return re.sub(r"@\w+$", "", nodeid)


def _recorded(root: pathlib.Path) -> dict[str, float]:
    path = root / SECONDS
    recorded: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    return recorded


def _record(root: pathlib.Path, seconds: dict[str, float]) -> None:
    recorded = _recorded(root) | {name: round(taken, 1) for name, taken in seconds.items()}
    kept = {
        name: taken
        for name, taken in sorted(recorded.items())
        if taken >= _WORTH_RECORDING and (root / name.partition("::")[0]).exists()
    }
    written = (root / SECONDS).with_suffix(".new")
    written.write_text(json.dumps(kept, indent=0) + "\n")
    os.replace(written, root / SECONDS)
