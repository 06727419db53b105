"""A database of cinderlib 5 in PostgreSQL, as in oVirt."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import servers.postgresql
import sqlalchemy as sa

from cinderlib import persistence, serialization
from cinderlib.errors import InvalidPersistence

MADE = pathlib.Path(__file__).parents[1] / "data" / "cinderlib5" / "cinderlib5.sqlite"


def volumes(url: str) -> dict[str, Any]:
    database = persistence.open_cinderlib5(url)
    read = [serialization.read(document) for document in database.documents()]
    database.close()
    found = {}
    for document in read:
        assert isinstance(document, serialization.VolumeDocument)
        found[document.volume.id] = document
    return found


@pytest.fixture
def copied(postgresql: servers.postgresql.PostgreSQL) -> str:
    """A copy of the SQLite tables in PostgreSQL, with its own types."""
    url = postgresql.database()
    source, target = (
        sa.create_engine(f"sqlite:///{MADE}"),
        sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:")),
    )
    old, new = sa.MetaData(), sa.MetaData()
    with source.connect() as reading, target.begin() as writing:
        old.reflect(source)
        for name, table in old.tables.items():
            columns = [sa.Column(c.name, c.type.as_generic()) for c in table.columns]
            copy = sa.Table(name, new, *columns)
            copy.create(writing)
            rows = [dict(row) for row in reading.execute(sa.select(table)).mappings()]
            if name == "quality_of_service_specs":
                _with_references(rows)
            if rows:
                writing.execute(copy.insert(), rows)
    source.dispose()
    target.dispose()
    return url


def _with_references(rows: list[dict[str, Any]]) -> None:
    first = ""
    for row in rows:
        if row["specs_id"] is None:
            first = row["id"]
        else:
            row["specs_id"] = first


def test_it_reads_the_same_from_postgresql(copied: str) -> None:
    expected = volumes(f"sqlite:///{MADE}")
    assert len(expected) == 5
    assert {v.volume.qos_specs.get("maxIOPS") for v in expected.values()} == {None, "100"}
    assert volumes(copied) == expected


def test_orphaned_rows_are_not_assigned_to_other_volumes(tmp_path: pathlib.Path) -> None:
    """Rows of QoS specs whose first row was deleted do not belong to another volume."""
    file = tmp_path / "old.sqlite"
    file.write_bytes(MADE.read_bytes())
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "DELETE FROM quality_of_service_specs WHERE rowid ="
                " (SELECT max(rowid) FROM quality_of_service_specs WHERE specs_id IS NULL)"
            )
        )
        connection.execute(
            sa.text("UPDATE quality_of_service_specs SET value = rowid WHERE key = 'maxIOPS'")
        )
    engine.dispose()
    before = volumes(f"sqlite:///{MADE}")
    after = volumes(f"sqlite:///{file}")
    with_specs = [id for id, found in before.items() if found.volume.qos_specs]
    values = [after[id].volume.qos_specs.get("maxIOPS") for id in with_specs]
    assert values == ["3", "6", None]


def test_a_store_of_this_version_is_not_a_database_of_cinderlib_5(tmp_path: pathlib.Path) -> None:
    persistence.open_store({"storage": "db", "connection": f"sqlite:///{tmp_path}/x"}).close()
    with pytest.raises(InvalidPersistence, match="not a database of cinderlib 5"):
        persistence.open_cinderlib5(f"sqlite:///{tmp_path}/x")
