"""Reads a database of cinderlib 5, which has the tables of Cinder 23 and older.

Rows are converted to cinderlib 5's JSON documents. The reader of these documents interprets and
validates the fields.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from cinderlib.errors import InvalidDocument, InvalidPersistence, StoreError
from cinderlib.persistence.sql import engine, opening

#: Number of volumes to read at a time, with everything that belongs to them.
PAGE = 200
_TABLES = (
    "volumes",
    "volume_metadata",
    "volume_admin_metadata",
    "volume_glance_metadata",
    "volume_attachment",
    "snapshots",
    "snapshot_metadata",
    "volume_types",
    "volume_type_extra_specs",
    "quality_of_service_specs",
)
_KEY_VALUES = "cinderlib_persistence_key_value"
_BOOLEANS = ("bootable", "multiattach", "shared_targets")

Row = Mapping[str, Any]


class Cinderlib5Database:
    """A database that cinderlib 5 wrote; opened only for reading.

    :param connection: its SQLAlchemy URL.
    :raises InvalidPersistence: it has no tables of cinderlib 5.
    :raises StoreError: it cannot be read.
    """

    def __init__(self, connection: str) -> None:
        place = opening.parse(connection)
        self.name = place.display_name
        if place.is_sqlite and not os.path.isfile(place.database or ""):
            raise InvalidPersistence(f"The database {self.name} does not exist")
        self._engine = engine.create(place, timeout=30.0)
        metadata = sa.MetaData()
        try:
            existing = set(sa.inspect(self._engine).get_table_names())
            metadata.reflect(self._engine, only=sorted(existing & {*_TABLES, _KEY_VALUES}))
        except sa.exc.SQLAlchemyError as exc:
            raise StoreError(f"{self.name} cannot be read: {type(exc).__name__}") from exc
        missing = [
            name for name in ("volumes", "volume_types", "snapshots") if name not in existing
        ]
        if missing:
            raise InvalidPersistence(
                f"{self.name} is not a database of cinderlib 5: it has no table {missing[0]!r}"
            )
        self._tables = metadata.tables

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def documents(self) -> Iterator[dict[str, Any]]:
        """A document of each volume, oldest first, with all related records, including secrets."""
        specs = dict(self._qos_specs())
        volumes = self._tables["volumes"]
        query = sa.select(volumes.c.id).where(volumes.c.deleted == sa.false())
        # IDs need little memory. One transaction for all rows would lock out other users.
        ids = [row["id"] for row in self._rows(query.order_by(volumes.c.created_at, volumes.c.id))]
        for start in range(0, len(ids), PAGE):
            yield from self._page(ids[start : start + PAGE], specs)

    def key_values(self) -> Iterator[tuple[str, str | None]]:
        """The key-values, as pairs of key and text."""
        if _KEY_VALUES in self._tables:
            for row in self._rows(sa.select(self._tables[_KEY_VALUES])):
                yield row["key"], row["value"]

    def _page(
        self, ids: Sequence[str], qos_specs: Mapping[str, dict[str, str]]
    ) -> Iterator[dict[str, Any]]:
        volumes = {row["id"]: row for row in self._of("volumes", "id", ids)}
        # The type that cinderlib 5 created for a volume has the volume's ID. The volume's
        # volume_type_id may be empty.
        named = {*ids, *(row["volume_type_id"] for row in volumes.values())} - {None}
        types = {row["id"]: row for row in self._of("volume_types", "id", named)}
        extra_specs = self._pairs("volume_type_extra_specs", "volume_type_id", types)
        metadata = {
            name: self._pairs(f"volume_{name}", "volume_id", ids)
            for name in ("metadata", "admin_metadata", "glance_metadata")
        }
        snapshots = self._snapshots(ids)
        attachments = self._grouped("volume_attachment", "volume_id", ids)
        for id in ids:
            volume = dict(volumes[id])
            type_id = id if id in types else volume["volume_type_id"]
            type_row = types.get(type_id, {})
            qos = qos_specs.get(type_row.get("qos_specs_id") or type_id or "", {})
            volume["volume_type_id"] = type_id
            volume["volume_type"] = _object(
                "VolumeType",
                name=type_row.get("name"),
                extra_specs=extra_specs.get(type_id, {}),
                qos_specs=_object("QualityOfServiceSpecs", specs=qos) if qos else None,
            )
            volume |= {name: pairs.get(id, {}) for name, pairs in metadata.items()}
            volume["snapshots"] = _list("Snapshot", snapshots.get(id, ()))
            volume["volume_attachment"] = _list(
                "VolumeAttachment", map(_attachment, attachments.get(id, ()))
            )
            yield {
                "class": "Volume",
                "backend": {"volume_backend_name": _backend(volume["host"], id)},
                "ovo": _object("Volume", **volume),
            }

    def _snapshots(self, ids: Sequence[str]) -> dict[str, list[Row]]:
        found = self._grouped("snapshots", "volume_id", ids)
        of = [row["id"] for rows in found.values() for row in rows]
        metadata = self._pairs("snapshot_metadata", "snapshot_id", of)
        return {
            volume: [{**row, "metadata": metadata.get(row["id"], {})} for row in rows]
            for volume, rows in found.items()
        }

    def _qos_specs(self) -> Iterator[tuple[str, dict[str, str]]]:
        """The QoS specs by the ID of their first row."""
        table = self._tables.get("quality_of_service_specs")
        if table is None:
            return
        columns: list[Any] = [table]
        if self._engine.dialect.name == "sqlite":
            columns.append(sa.literal_column("rowid").label("rowid"))
        rows = list(self._rows(sa.select(*columns)))
        strays = _strays(rows)
        found: dict[str, dict[str, str]] = {
            row["id"]: {} for row in rows if row["specs_id"] is None and not row["deleted"]
        }
        for row in rows:
            first = strays.get(row["specs_id"], row["specs_id"])
            if first in found and row["key"] != "consumer" and not row["deleted"]:
                found[first][row["key"]] = row["value"]
        yield from found.items()

    # --- queries -------------------------------------------------------------------------------

    def _rows(self, query: Any) -> Iterator[Row]:
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
        except sa.exc.SQLAlchemyError as exc:
            # The exception's text can contain values of rows.
            raise StoreError(f"{self.name} cannot be read: {type(exc).__name__}") from exc
        return ({name: _plain(name, row[name]) for name in row} for row in rows)

    def _of(self, name: str, field: str, values: Iterable[str]) -> list[Row]:
        table = self._tables.get(name)
        if table is None:
            return []
        query = sa.select(table).where(table.c[field].in_(list(values)))
        if "deleted" in table.c:
            query = query.where(table.c.deleted == sa.false())
        if "created_at" in table.c:
            query = query.order_by(table.c.created_at, table.c.id)
        return list(self._rows(query))

    def _grouped(self, name: str, field: str, values: Iterable[str]) -> dict[str, list[Row]]:
        rows = sorted(self._of(name, field, values), key=lambda row: str(row[field]))
        return {
            value: list(group) for value, group in itertools.groupby(rows, lambda row: row[field])
        }

    def _pairs(self, name: str, field: str, values: Iterable[str]) -> dict[str, dict[str, str]]:
        grouped = self._grouped(name, field, values)
        return {
            value: {row["key"]: row["value"] for row in rows} for value, rows in grouped.items()
        }


def _strays(rows: Sequence[Row]) -> dict[str, str]:
    """The ID of the first row for QoS specs that refer to a row that does not exist.

    cinderlib 5 changed the ID of the first row to the volume's ID after it wrote the other rows.
    Databases that enforce foreign keys rejected that. In SQLite the other rows still refer to the
    old ID. They directly follow the first row, because one transaction wrote them all.
    """
    known = {row["id"] for row in rows}
    numbered = {row["rowid"]: row for row in rows if "rowid" in row}
    found = {}
    for number, row in numbered.items():
        before = numbered.get(number - 1)
        stray = row["specs_id"] is not None and row["specs_id"] not in known
        if stray and before is not None and before["specs_id"] is None:
            found[row["specs_id"]] = before["id"]
    return found


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return bool(value) if name in _BOOLEANS and value is not None else value


def _attachment(row: Row) -> Row:
    texts = {name: row[name] for name in ("connection_info", "connector")}
    try:
        # Cinder's table has text; some databases return it decoded.
        decoded = {
            name: json.loads(value) if isinstance(value, str) else value
            for name, value in texts.items()
        }
    except (ValueError, RecursionError):
        raise InvalidDocument(
            f"Attachment {row['id']} of volume {row['volume_id']} is damaged: its connector or"
            " connection_info is not JSON"
        ) from None
    return {**row, **decoded}


def _backend(host: str | None, id: str) -> str:
    name = (host or "").partition("#")[0].partition("@")[2]
    if not name:
        raise InvalidPersistence(f"Volume {id} has no backend: its host is {host!r}", resource=id)
    return name


def _object(kind: str, **data: Any) -> dict[str, Any]:
    return {"versioned_object.name": kind, "versioned_object.data": data}


def _list(kind: str, rows: Iterable[Row]) -> dict[str, Any]:
    return _object(f"{kind}List", objects=[_object(kind, **row) for row in rows])
