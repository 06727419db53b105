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


#: How many points of one test a part tries. Some tests have more than a thousand.
_MOST = 150


@pytest.fixture(scope="session")
def pool(request: pytest.FixtureRequest, postgresql, etcd) -> Iterator[pools.Pool]:
    databases = {"postgresql": postgresql.database, "etcd": etcd.database}
    workers = pools.Pool(databases, min(4, os.cpu_count() or 1))
    workers.most = _MOST if request.config.getoption("--part") else None
    yield workers
    workers.close()
