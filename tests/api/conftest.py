"""A new controller for each test, with an array that several hosts can reach."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cinderlib as cl

SHARED = "api.shared_array.SharedArray"


@pytest.fixture(params=["memory", "db"])
def controller(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[cl.Controller]:
    config: dict[str, Any] = {"storage": request.param}
    if request.param == "db":
        config["connection"] = f"sqlite:///{tmp_path}/metadata.sqlite"
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        yield controller


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder with the volumes of a test's arrays."""
    return tmp_path / "array"


@pytest.fixture
def backend(controller: cl.Controller, root: Path) -> cl.Backend:
    """The embedded driver."""
    return controller.backend("here", volume_driver="file", file_root=str(root))


@pytest.fixture
def array(controller: cl.Controller, root: Path) -> cl.Backend:
    """An array that accepts connections from any host."""
    return controller.backend("array", volume_driver=SHARED, file_root=str(root))


def connector(host: str) -> dict[str, Any]:
    return {
        "host": host,
        "ip": "192.0.2.1",
        "initiator": f"iqn.2026-11.org.example:{host}",
        "multipath": False,
    }


def files(root: Path) -> list[str]:
    """The names of the array's volumes and snapshots."""
    return sorted(name for name in os.listdir(root) if not name.startswith("."))


def damage(folder: Path, kind: str, id: str) -> None:
    """Damage the document of a record in a store that is a SQLite file."""
    with sqlite3.connect(folder / "metadata.sqlite") as database:
        database.execute(f"UPDATE cinderlib_{kind} SET document = '{{' WHERE id = ?", [id])
    database.close()
