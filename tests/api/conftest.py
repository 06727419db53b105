"""A new controller for each test, with an array that several hosts can reach."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import cinderlib as cl

if TYPE_CHECKING:
    from api.in_service import InService

#: Loads a backend: its name, and its options.
LoadBackend = Callable[..., cl.Backend]

#: A client of a service, as the value of ``through``.
SERVICE = pytest.param("service", marks=pytest.mark.slow)

SHARED = "api.shared_array.SharedArray"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = metafunc.definition.iter_markers("parametrize")
    if "through" in metafunc.fixturenames and "through" not in [mark.args[0] for mark in marks]:
        ways: list[Any] = ["memory", "db", SERVICE]
        if metafunc.definition.get_closest_marker("library"):
            ways.remove(SERVICE)
        metafunc.parametrize("through", ways)


@pytest.fixture
def library(through: str, tmp_path: Path) -> Iterator[cl.Controller]:
    """The library's controller, which is the service's own if there is a service. Tests prepare
    and examine records with it."""
    config: dict[str, Any] = {"storage": "memory" if through == "memory" else "db"}
    if config["storage"] == "db":
        config["connection"] = f"sqlite:///{tmp_path}/metadata.sqlite"
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        yield controller


@pytest.fixture
def service(through: str, library: cl.Controller, tmp_path: Path) -> Iterator[InService | None]:
    """The service of the test, if it has one."""
    if through != "service":
        yield None
        return
    from api import in_service

    with in_service.run(library, tmp_path) as service:
        yield service


@pytest.fixture
def controller(library: cl.Controller, service: InService | None) -> cl.Controller:
    """The controller that is tested: the library's, or that of a client of a service."""
    return library if service is None else cast(cl.Controller, service.client)


@pytest.fixture
def load_backend(library: cl.Controller, service: InService | None) -> LoadBackend:
    """Loads a backend with options, and returns the tested controller's backend."""
    return library.backend if service is None else service.load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder with the volumes of a test's arrays."""
    return tmp_path / "array"


@pytest.fixture
def backend(load_backend: LoadBackend, root: Path) -> cl.Backend:
    """The embedded driver."""
    return load_backend("here", volume_driver="file", file_root=str(root))


@pytest.fixture
def array(load_backend: LoadBackend, root: Path) -> cl.Backend:
    """An array that accepts connections from any host."""
    return load_backend("array", volume_driver=SHARED, file_root=str(root))


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
