"""Imports Cinder and the library, so that copies of this process do not need to."""

from __future__ import annotations

import contextlib
import importlib

from cinderlib.errors import CinderlibError

_MODULES = (
    "cinderlib.drivers.loading",
    "cinderlib.drivers.host",
    "cinderlib.drivers.threads",
    "cinderlib.objects.controller",
    "cinderlib.operations.recovery",
    "cinderlib.ovirt.adapter",
    "cinderlib.persistence.intent_index",
    "cinderlib.persistence.object_store",
    # The packages for the stores of oVirt's engine, which are imported by name.
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlite3",
)


def preload() -> None:
    """Import all of it. A copy that needs a missing package reports it."""
    from cinderlib.drivers import bootstrap

    with contextlib.suppress(ImportError, CinderlibError):
        bootstrap.preload()
    for name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError, CinderlibError):
        _compile_statements()


def _compile_statements() -> None:
    """Use an empty store, because the first use of a statement takes longer than all others."""
    from cinderlib.persistence import open_store
    from cinderlib.persistence.base import Put, Query, Remove
    from cinderlib.records import (
        ConnectionRecord,
        IntentRecord,
        SnapshotRecord,
        VolumeRecord,
        new_id,
    )

    with open_store({"storage": "memory_db"}) as store:
        for kind in (ConnectionRecord, IntentRecord, SnapshotRecord, VolumeRecord):
            on_backend = {"backend": ""}
            store.get(kind, "")
            store.count(kind, on_backend)
            store.find(kind, on_backend, limit=1)
            store.query(Query(kind, "id", ""))
        volume = VolumeRecord(id=new_id(), backend="", size=1, host="")
        (stored,) = store.apply(Put(volume))
        (stored,) = store.apply(Put(stored))
        store.apply(Remove(VolumeRecord, volume.id, stored.version))
