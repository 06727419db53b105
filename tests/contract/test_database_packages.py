"""Runs the conformance suite with the other packages that connect to database servers. Those that
are not installed are skipped."""

from __future__ import annotations

import pytest
from on_server import StoreOnServer, open_url

from cinderlib.errors import StoreError
from cinderlib.persistence.base import Put
from cinderlib.records import VolumeRecord
from cinderlib.testing.store import volume

pytestmark = pytest.mark.slow


class OnServer(StoreOnServer):
    supports = frozenset({"atomic", "list_key_values", "durable", "shared"})
    driver: str
    module: str

    @classmethod
    def new_database(cls, request) -> str:
        pytest.importorskip(cls.module)
        _, separator, rest = super().new_database(request).partition("://")
        if cls.driver.endswith("pg8000"):
            rest = f"{rest.replace('?host=', '?unix_sock=')}/.s.PGSQL.5432"
        return f"{cls.driver}{separator}{rest}"

    def test_a_lost_server_is_found_again(self, place, request) -> None:
        server = request.getfixturevalue(self.server)
        with open_url(place, timeout=5) as store:
            server.stop()
            try:
                with pytest.raises(StoreError) as caught:
                    store.find(VolumeRecord)
                assert caught.value.retryable
                assert "pass" not in str(caught.value)
            finally:
                server.start()
            assert store.find(VolumeRecord) == []
            server.restart()
            assert store.locks is not None
            release = store.locks.take([3], 5)
            assert release
            (record,) = store.apply(Put(volume("v")))
            assert store.find(VolumeRecord) == [record]
            release()

    def test_locks_exclude_other_stores(self, place) -> None:
        with open_url(place) as one, open_url(place) as other:
            assert one.locks is not None
            assert other.locks is not None
            release = one.locks.take([5, 7], 5)
            assert release
            assert other.locks.take([6, 7], 0.05) is None
            release()
            again = other.locks.take([5, 7], 5)
            assert again
            again()

    def test_the_database_is_quoted_without_its_password(self, place) -> None:
        with pytest.raises(StoreError, match=r"failed: .*nobody.*\.$") as caught:
            open_url(place.replace("tester:", "nobody:"), timeout=2)
        assert "pass" not in str(caught.value).partition("failed:")[2].replace("password", "")


class TestPsycopg(OnServer):
    server, driver, module = "postgresql", "postgresql+psycopg", "psycopg"


class TestPg8000(OnServer):
    server, driver, module = "postgresql", "postgresql+pg8000", "pg8000"


class TestPyMySQLAsMariaDB(OnServer):
    server, driver, module = "mariadb", "mariadb+pymysql", "pymysql"


class TestMySQLClient(OnServer):
    server, driver, module = "mariadb", "mysql+mysqldb", "MySQLdb"


class TestMySQLConnector(OnServer):
    server, driver, module = "mariadb", "mysql+mysqlconnector", "mysql.connector"


class TestMariaDBConnector(OnServer):
    server, driver, module = "mariadb", "mariadb+mariadbconnector", "mariadb"
