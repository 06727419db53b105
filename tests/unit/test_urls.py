"""URLs: their form in messages, and the files that they refer to."""

from __future__ import annotations

import pytest

from cinderlib import urls
from cinderlib.persistence.sql.opening import parse

SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hunter2@server/db",
        "postgresql://user:hunter2/x@server/db",
        "postgresql://user:a/hunter2@server/db",
        "postgresql://user:hun hunter2@server/db",
        "postgresql://user:p@hunter2@server/db",
        "postgresql://user:p?hunter2@server/db",
        "postgresql://user:p#hunter2@server/db",
        "postgresql://user:p:hunter2@server/db",
        "postgresql://user:\nhunter2@server/db",
        "postgresql://server/db?user=u&password=hunter2",
        "postgresql://server/db?x=%68unter2&sslpassword=hunter2",
        "postgresql://server/db#hunter2",
        "mysql+pymysql://:hunter2@server/db",
        "https://hunter2@server/",
        "etcd3+http://user:hunter2@server:2379?ca_cert=hunter2",
        "hunter2",
        "user:hunter2@server",
        "postgresql:user:hunter2@server/db",
        "//user:hunter2@server/db",
        " postgresql://user:hunter2@server/db",
        "",
    ],
)
def test_secrets_in_urls_are_not_shown(url: str) -> None:
    shown = urls.hide(url)
    assert SECRET not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:x@server:5432/db", "postgresql://user:***@server:5432/db"),
        ("postgresql://server/db", "postgresql://server/db"),
        ("sqlite:////var/lib/cl.sqlite", "sqlite:////var/lib/cl.sqlite"),
        ("sqlite:///cl.sqlite?timeout=5", "sqlite:///cl.sqlite?***"),
    ],
)
def test_the_rest_of_a_url_is_shown(url: str, shown: str) -> None:
    assert urls.hide(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite://",
        "sqlite+pysqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///file::memory:?uri=true", "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///cl.sqlite", "sqlite:////a/cl.sqlite", "sqlite+pysqlite:///a.b",
        "sqlite:///file:/a/b?uri=true", "sqlite:///a?mode=rw", "postgresql://server/memory",
    ],
)  # fmt: skip
def test_databases_in_memory_are_recognized(url: str) -> None:
    assert urls.in_memory(url) == parse(url).in_memory


def test_a_relative_path_is_made_absolute() -> None:
    assert urls.absolute("sqlite:///a/../b.sqlite?x=1", "/f") == "sqlite:////f/b.sqlite?x=1"
    for url in ("sqlite:////a", "sqlite://", "sqlite:///:memory:", "mysql://server/db", "", "x"):
        assert urls.absolute(url, "/f") == url
