"""How much is tried, the workers that try it, and the table of what was tried."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pool as pools
import pytest

#: What was tried: of each layer and scenario, how many cases, and how many there are.
played: Counter[tuple[str, str]] = Counter()
known: Counter[tuple[str, str]] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash",
        choices=("sample", "all"),
        default=os.environ.get("CINDERLIB_CRASH", "sample"),
        help="how many of the points at which a process can die or fail are tried; also by the"
        " environment variable CINDERLIB_CRASH",
    )


@pytest.fixture(scope="session")
def everything(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--crash") == "all")


@pytest.fixture(scope="session")
def pool(postgresql) -> Iterator[pools.Pool]:
    workers = pools.Pool(postgresql.database, min(4, os.cpu_count() or 1))
    yield workers
    workers.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not known:
        return
    terminalreporter.section("points at which it was killed or made to fail")
    layers = list(dict.fromkeys(layer for layer, _ in known))
    names = list(dict.fromkeys(name for _, name in known))
    for layer in layers:
        cells = [f"{n} {played[layer, n]}/{known[layer, n]}" for n in names if known[layer, n]]
        tried = sum(played[layer, name] for name in names)
        total = sum(known[layer, name] for name in names)
        terminalreporter.line(f"{layer}: {tried} of {total}: {', '.join(cells)}")
    terminalreporter.line(f"in all: {played.total()} of {known.total()}")
