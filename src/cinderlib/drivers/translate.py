"""Records to Cinder's versioned objects for one call, and what the driver changed back to records.

Relations (type, attachments, snapshots, ...) are left unset: the objects load them through the
database when a driver looks at them.

Columns whose values are of the field's type already are put where the object keeps them. Its
constructor checks and converts each of some forty again, which takes longer than all else that an
operation does outside of the driver, and for every UUID sets the warning filters of the whole
process aside for a moment, whatever other threads do.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from cinder import context as cinder_context
from cinder import objects
from oslo_versionedobjects import base, fields

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

#: Fields that keep a value as it is when it is what a record has: a text, a number, a time in UTC.
_PLAIN = (
    fields.BooleanField,
    fields.DateTimeField,
    fields.IntegerField,
    fields.StringField,
    fields.UUIDField,
)
#: What drivers change in place, so that the object itself does not notice.
_METADATA = ("metadata", "admin_metadata", "glance_metadata")


def context(user_id: str | None, project_id: str | None) -> Any:
    """An administrator's request context that leaves no trace in thread-local storage."""
    return cinder_context.RequestContext(
        user_id=user_id, project_id=project_id, is_admin=True, overwrite=False
    )


def volume(context: Any, record: VolumeRecord) -> Any:
    """The record as a ``cinder.objects.Volume``."""
    values = {**rows.columns(record), "volume_type_id": rows.type_id(record)}
    return _filled(objects.Volume(context), values)


def snapshot(context: Any, record: SnapshotRecord, volume: Any = None) -> Any:
    """The record as a ``cinder.objects.Snapshot``.

    :param volume: its volume as an object, so that both share what the driver changes.
    """
    values = {**rows.columns(record), "volume_type_id": record.volume_id}
    made = objects.Snapshot(context)
    if volume is not None:
        made.volume = volume
    return _filled(made, values)


def _filled(made: Any, values: Mapping[str, Any]) -> Any:
    """A new object with these values, of which none counts as changed."""
    kept, converted = _split(made.obj_name(), tuple(values))
    made.__dict__.update({attribute: values[name] for name, attribute in kept})
    for name in converted:
        setattr(made, name, values[name])
    made.obj_reset_changes()
    return made


@functools.cache
def _split(kind: str, names: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[str]]:
    """The fields that are plain, each with the attribute that keeps it, and the others."""
    kinds = {name: type(getattr(objects, kind).fields[name]) for name in names}
    kept = [(name, base._get_attrname(name)) for name in names if kinds[name] in _PLAIN]
    return kept, [name for name in names if kinds[name] not in _PLAIN]


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
    kind = type(record)
    written = call.written.get((kind, record.id), {})
    if not written and _untouched(record, made):
        return record
    changed = {
        key: getattr(made, key)
        for key in made.obj_what_changed()
        if key in made.fields and (key not in made.OPTIONAL_FIELDS or key.endswith("metadata"))
    }
    return replace(record, **{**written, **rows.fields(kind, changed)})


def _untouched(record: R, made: Any) -> bool:
    """Whether the driver left an object as it got it. Most do, and asking the object for what has
    changed takes as long as making it."""
    return not made._changed_fields and all(
        getattr(made, field) == getattr(record, field)
        for field in _METADATA
        if field in record.__struct_fields__
    )


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
