"""Stores whose database is on a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from cinderlib.persistence import open_store
from cinderlib.persistence.base import Remove, Store
from cinderlib.records import KINDS
from cinderlib.testing import StoreConformance


class StoreOnServer(StoreConformance):
    """
    :cvar server: the fixture of the server.
    """

    server: ClassVar[str]

    def make_store(self, place) -> Store:
        return open_url(place)

    @classmethod
    def new_database(cls, request) -> str:
        """The URL of an empty database."""
        return request.getfixturevalue(cls.server).database()

    @pytest.fixture(scope="class")
    @classmethod
    def database(cls, request) -> str:
        return cls.new_database(request)

    @pytest.fixture
    def place(self, database) -> Iterator[str]:
        # Creating a database takes longer than most tests, so they share one, which starts empty.
        yield database
        with self.make_store(database) as store:
            for kind in KINDS.values():
                store.apply(*[Remove(kind, record.id) for record in store.iterate(kind)])


def open_url(url: str, **options) -> Store:
    return open_store({"storage": "db", "connection": url, **options})
