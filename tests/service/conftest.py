"""Fixtures with running services."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator

import pytest
from service.running import Service
from service.site import Site


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    """A folder with a short path, as required for sockets, that other users can read."""
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A running service with a backend ``files``, for all tests of a module."""
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        with Service(path).start() as running:
            yield running


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A running service on TCP for all tests of a module, and certificates for its clients."""
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        site = Site(pathlib.Path(name))
        with site.service.start():
            yield site
