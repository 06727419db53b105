"""Records to Cinder's versioned objects for one call, and what the driver changed back to records.

Relations (type, attachments, snapshots, ...) are left unset: the objects load them through the
database when a driver looks at them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from cinder import context as cinder_context
from cinder import objects

from cinderlib.drivers import rows
from cinderlib.drivers.scope import Call
from cinderlib.records import (
    Secret,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

_log = logging.getLogger(__name__)

R = TypeVar("R", VolumeRecord, SnapshotRecord)


def context(user_id: str | None, project_id: str | None) -> Any:
    """An administrator's request context that leaves no trace in thread-local storage."""
    return cinder_context.RequestContext(
        user_id=user_id, project_id=project_id, is_admin=True, overwrite=False
    )


def volume(context: Any, record: VolumeRecord) -> Any:
    """The record as a ``cinder.objects.Volume``."""
    values = rows.columns(record)
    made = objects.Volume(context, **values, volume_type_id=rows.type_id(record))
    made.obj_reset_changes()
    return made


def snapshot(context: Any, record: SnapshotRecord, volume: Any = None) -> Any:
    """The record as a ``cinder.objects.Snapshot``.

    :param volume: its volume as an object, so that both share what the driver changes.
    """
    made = objects.Snapshot(context, **rows.columns(record), volume_type_id=record.volume_id)
    if volume is not None:
        made.volume = volume
    made.obj_reset_changes()
    return made


def fold(call: Call, record: R, made: Any, update: Mapping[str, Any] | None = None) -> R:
    """The record with what the driver changed.

    :param made: the object that the driver was given.
    :param update: what the driver returned (Cinder calls it a model update).
    """
    if isinstance(update, Mapping):
        for key, value in update.items():
            if key in made.obj_fields and key not in made.OPTIONAL_FIELDS:
                made[key] = value
            elif key.endswith("metadata"):
                setattr(made, key.removeprefix("volume_"), rows.metadata(value))
            else:
                _log.debug("A driver's update of %s has the unknown field %s", record.id, key)
    changed = {
        key: getattr(made, key)
        for key in made.obj_what_changed()
        if key in made.fields and (key not in made.OPTIONAL_FIELDS or key.endswith("metadata"))
    }
    kind = type(record)
    values = {
        **call.written.get((kind, record.id), {}),
        **rows.fields(kind, changed),
    }
    return replace(record, **values)


def plain(value: Any) -> Any:
    """A deep copy in plain dicts, lists, texts and numbers, where it can be brought to them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Secret):
        return plain(value.reveal())
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
