"""Concurrent processes and threads with one volume and with many, and concurrent starts."""

from __future__ import annotations

import pytest
from pool import Pool


@pytest.mark.parametrize("store", ["sqlite", "postgresql", "etcd"])
@pytest.mark.parametrize("on", ["one", "many"])
def test_processes_with_threads(pool: Pool, on: str, store: str) -> None:
    """4 processes with 4 threads each: exactly the resources that they created exist afterwards."""
    request = {"what": "together", "on": on, "processes": 4, "threads": 4, "store": store}
    (answer,) = pool.play([request])
    assert not answer["problems"], "\n".join(answer["problems"])


@pytest.mark.parametrize("store", ["sqlite", "postgresql", "etcd"])
def test_processes_start_concurrently(pool: Pool, store: str) -> None:
    """8 processes on a new database and a new folder."""
    (answer,) = pool.play([{"what": "start", "processes": 8, "store": f"new {store}"}])
    assert not answer["problems"], "\n".join(answer["problems"])
