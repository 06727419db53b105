"""Converts records to Cinder's versioned objects for a call, and the driver's changes back.

Relations (type, attachments, snapshots, ...) are not set: the objects load them from the database
when a driver reads them.

An object is created as a copy of an empty one, and values that already have the type of their field
are stored directly in its attributes. Its constructor would check and convert about forty fields
again, which takes longer than the rest of an operation outside the driver. It would also replace
the warning filters of the whole process for a moment, for each UUID.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cinder import context as cinder_context
from cinder import objects
from oslo_versionedobjects import base, fields

from cinderlib.drivers import rows
from cinderlib.drivers.scope import Call
from cinderlib.records import (
    GroupRecord,
    Record,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    check_types,
    replace,
)

_log = logging.getLogger(__name__)

R = TypeVar("R", VolumeRecord, SnapshotRecord)

#: Fields that do not convert the values of a record: text, numbers and times in UTC.
_PLAIN = (
    fields.BooleanField,
    fields.DateTimeField,
    fields.IntegerField,
    fields.StringField,
    fields.UUIDField,
)
_MAP = fields.DictOfStringsField
_SCALARS = (str, int, float)
_SEQUENCES = (list, tuple, set, frozenset)
#: Fields that drivers change in place, so that the object does not detect the change.
_METADATA = ("metadata", "admin_metadata", "glance_metadata")
_METADATA_HELD = tuple((name, base._get_attrname(name)) for name in _METADATA)


def context(user_id: str | None, project_id: str | None) -> Any:
    """An administrator's request context that is not kept in thread-local storage."""
    return cinder_context.RequestContext(
        user_id=user_id or rows.DEFAULT_OWNER["user_id"],
        project_id=project_id or rows.DEFAULT_OWNER["project_id"],
        is_admin=True,
        overwrite=False,
    )


def volume(context: Any, record: VolumeRecord) -> Any:
    """The record as a ``cinder.objects.Volume``."""
    return _new_object(context, record, rows.type_id(record))


def snapshot(context: Any, record: SnapshotRecord, volume: Any = None) -> Any:
    """The record as a ``cinder.objects.Snapshot``.

    :param volume: the snapshot's volume as an object, so that both objects have its changes.
    """
    type_id = record.volume_id if volume is None else volume.volume_type_id
    obj = _new_object(context, record, type_id)
    if volume is not None:
        obj.volume = volume
        obj.obj_reset_changes(["volume"])
    return obj


def group(context: Any, record: GroupRecord) -> Any:
    """The record as a ``cinder.objects.Group``."""
    found = objects.Group(context, **rows.group(record))
    found.obj_reset_changes()
    return found


def _new_object(context: Any, record: VolumeRecord | SnapshotRecord, type_id: str) -> Any:
    """An object with the record's values and without changes."""
    template = _template(type(record))
    obj = template.kind.__new__(template.kind)
    state = obj.__dict__
    state.update(template.same, _context=context, _changed_fields=set())
    state.update(zip(template.kept, template.values(record), strict=True))
    state[_TYPE_ID] = type_id
    for attribute, owner in _DEFAULT_OWNER:
        if state[attribute] is None:
            state[attribute] = owner
    state[_AUTH] = None if record.provider_auth is None else record.provider_auth.reveal()
    for name in template.converted:
        setattr(obj, name, getattr(record, name))
    has_maps = False
    for name, attribute, type_ in template.maps:
        state[attribute] = map = fields.CoercedDict()
        map.enable_coercing(type_, obj, name)
        values = getattr(record, name)
        if values:
            map.update(values)
            has_maps = True
    if has_maps:
        obj.obj_reset_changes()  # it also copies the metadata, to detect changes
    else:
        obj._changed_fields.clear()
    return obj


_TYPE_ID = base._get_attrname("volume_type_id")
_DEFAULT_OWNER = [(base._get_attrname(name), owner) for name, owner in rows.DEFAULT_OWNER.items()]
_AUTH = base._get_attrname("provider_auth")


@dataclasses.dataclass(frozen=True, slots=True)
class _Template:
    """Describes how to set the fields of the objects of a kind.

    :ivar same: the state of an object with only the values that all objects have.
    :ivar kept: the attributes of the plain fields.
    :ivar values: returns the values of a record for these attributes.
    :ivar maps: the fields that are dicts, with their attribute and the type of their values.
    :ivar converted: the other fields.
    """

    kind: Any
    same: Mapping[str, Any]
    kept: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]
    maps: tuple[tuple[str, str, Any], ...]
    converted: tuple[str, ...]


@functools.cache
def _template(kind: type[Record]) -> _Template:
    obj = getattr(objects, kind.kind.capitalize())()
    for name, value in rows.constants(kind).items():
        setattr(obj, name, value)
    sources = rows.sources(kind)
    del sources["provider_auth"]  # a secret, which is revealed for each object
    types = {name: obj.fields[name] for name in sources}
    attribute = base._get_attrname
    plain = [name for name in sources if type(types[name]) in _PLAIN]
    maps = [name for name in sources if type(types[name]) is _MAP]
    return _Template(
        kind=type(obj),
        same=dict(vars(obj)),
        kept=tuple(map(attribute, plain)),
        values=operator.attrgetter(*(sources[name] for name in plain)),
        maps=tuple((name, attribute(name), types[name]._type._element_type) for name in maps),
        converted=tuple(name for name in sources if name not in (*plain, *maps)),
    )


def fold(call: Call, record: R, obj: Any, update: Mapping[str, Any] | None = None) -> R:
    """The record with the driver's changes.

    :param obj: the object that was passed to the driver.
    :param update: the model update that the driver returned.
    :raises ValueError: a changed value is not valid.
    """
    if isinstance(update, Mapping):
        for key, value in update.items():
            if key in obj.obj_fields and key not in obj.OPTIONAL_FIELDS:
                obj[key] = value
            elif key.endswith("metadata"):
                setattr(obj, key.removeprefix("volume_"), rows.metadata(value))
            else:
                _log.debug(
                    "The driver's model update of %s has an unknown field %s", record.id, key
                )
    kind = type(record)
    written = call.written.get((kind, record.id), {})
    if not written and _is_unchanged(record, obj):
        return record
    changed = {
        key: getattr(obj, key)
        for key in obj.obj_what_changed()
        if key in obj.fields and (key not in obj.OPTIONAL_FIELDS or key.endswith("metadata"))
    }
    folded = replace(record, **{**written, **rows.fields(kind, changed)})
    check_types(folded)
    return folded


def _is_unchanged(record: R, obj: Any) -> bool:
    """Whether the driver did not change the object. This is the usual case, and the object needs as
    long to determine its changes as to be created."""
    if obj._changed_fields:
        return False
    held = vars(obj)
    return all(held.get(at, {}) == getattr(record, field, {}) for field, at in _METADATA_HELD)


def plain(value: Any) -> Any:
    """A deep copy, converted to plain dicts, lists, texts and numbers."""
    if value is None or isinstance(value, _SCALARS):  # the most frequent case
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, _SEQUENCES):
        return [plain(item) for item in value]
    if isinstance(value, Secret):
        return plain(value.reveal())
    return str(value)
