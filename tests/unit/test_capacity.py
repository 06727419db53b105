"""Capacities are shown as they are known: an array that hangs or fails delays nobody."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.service import capacity

GIB = 1024**3


class Array:
    """Answers while its gate is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Semaphore(0)
        self.pools: list[dict[str, Any]] = [
            {"pool_name": "a", "total_capacity_gb": 10, "free_capacity_gb": 4},
            {"pool_name": "b", "total_capacity_gb": 5.5, "free_capacity_gb": 1},
        ]
        self.error: errors.CinderlibError | None = None

    def driver_stats(self, *, refresh: bool) -> dict[str, Any]:
        assert refresh
        self.asked.release()
        assert self.open.wait(60)
        if self.error is not None:
            raise self.error
        return {"pools": list(self.pools)}


@pytest.fixture
def array() -> Array:
    return Array()


@pytest.fixture
def capacities(array: Array, monkeypatch: pytest.MonkeyPatch) -> capacity.Capacities:
    monkeypatch.setattr(capacity, "FRESH", 0.0)
    monkeypatch.setattr(capacity, "PATIENCE", 60.0)
    return capacity.Capacities(lambda name: array)  # type: ignore[arg-type, return-value]


def test_pools_are_added(array: Array, capacities: capacity.Capacities) -> None:
    array.open.set()
    known = capacities.show("x")
    assert (known["total_bytes"], known["free_bytes"]) == (15.5 * GIB, 5 * GIB)
    assert known["used_bytes"] == 10.5 * GIB
    assert capacities.show("x", "a")["used_bytes"] == 6 * GIB
    with pytest.raises(errors.InvalidInput, match="no pool 'c'; it has a, b"):
        capacities.show("x", "c")


def test_pools_without_numbers(array: Array, capacities: capacity.Capacities) -> None:
    array.open.set()
    array.pools[0]["free_capacity_gb"] = "unknown"
    known = capacities.show("x")
    assert (known["free_bytes"], known["used_bytes"]) == (None, None)
    assert known["total_bytes"] == 15.5 * GIB


def test_an_array_that_hangs_delays_nobody(
    array: Array, capacities: capacity.Capacities, monkeypatch: pytest.MonkeyPatch
) -> None:
    array.open.set()
    first = capacities.show("x")
    array.open.clear()
    # The second request starts a refresh, which hangs. Nobody waits for it, and only one runs.
    monkeypatch.setattr(capacity, "STALE", -1.0)
    monkeypatch.setattr(capacity, "PATIENCE", 0.01)
    for _ in range(20):
        known = capacities.show("x")
        assert known["total_bytes"] == first["total_bytes"]
        assert known["stale"] is True
    assert array.asked.acquire(timeout=60)
    assert array.asked.acquire(timeout=60)
    assert not array.asked.acquire(blocking=False)
    array.open.set()


def test_an_array_that_never_answered(
    array: Array, capacities: capacity.Capacities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "PATIENCE", 0.01)
    with pytest.raises(errors.DriverTimeout, match="has not reported its capacity yet"):
        capacities.show("x")
    array.open.set()


def test_an_array_that_fails(array: Array, capacities: capacity.Capacities) -> None:
    array.open.set()
    array.error = errors.DriverError("no route to the array")
    with pytest.raises(errors.DriverError, match="no route to the array"):
        capacities.show("x")
    array.error = None
    assert capacities.show("x")["error"] is None
