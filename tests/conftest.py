"""Fixtures for all tests: servers, each started when a test first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers.ceph
import servers.mariadb
import servers.postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.postgresql.PostgreSQL]:
    with servers.postgresql.run() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.mariadb.MariaDB]:
    with servers.mariadb.run() as server:
        yield server


@pytest.fixture(scope="session")
def ceph() -> Iterator[servers.ceph.Cluster]:
    with servers.ceph.run() as cluster:
        yield cluster
