"""The option for the number of cases, and the workers that run them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pool as pools
import pytest


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
def pool(postgresql, etcd) -> Iterator[pools.Pool]:
    databases = {"postgresql": postgresql.database, "etcd": etcd.database}
    workers = pools.Pool(databases, min(4, os.cpu_count() or 1))
    yield workers
    workers.close()
