"""Loads drivers of this process, without their measurement, and closes them after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cinderlib import drivers
from cinderlib.persistence.memory import MemoryStore


@pytest.fixture
def settings(tmp_path: Path) -> drivers.Settings:
    (tmp_path / "locks").mkdir()
    return drivers.Settings(
        host="controller", state_path=str(tmp_path), lock_path=str(tmp_path / "locks")
    )


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def load(settings: drivers.Settings, store: MemoryStore) -> Iterator[Callable[..., Any]]:
    drivers.prepare(settings)  # before the test's driver imports Cinder
    from cinderlib.drivers import loading

    loaded: list[drivers.Driver] = []

    def load(name: str = "array", **options: Any) -> drivers.Driver:
        options.setdefault("volume_driver", "asking_driver.AskingDriver")
        in_store, given = options.pop("store", store), options.pop("settings", settings)
        driver = loading.load(name, options, in_store, given, None, None)
        loaded.append(driver)
        return driver

    yield load
    for driver in loaded:
        driver.close()
