"""The rules for external records: every field has a rule, and all defaults comply."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from cinderlib.errors import CinderlibError
from cinderlib.records import (
    AppliedStream,
    ConnectionRecord,
    Record,
    Secret,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
    new_id,
    replace,
)
from cinderlib.serialization import check_record, rules

VOLUME = VolumeRecord(id=new_id(), backend="lvm", size=1, host="h@lvm#p")
SNAPSHOT = SnapshotRecord(id=new_id(), backend="lvm", volume_id=VOLUME.id, volume_size=1)
CONNECTION = ConnectionRecord(
    id=new_id(), backend="lvm", volume_id=VOLUME.id, connector={"host": "h"}
)

#: Fields that accept every value of their type.
ANY_OF_ITS_TYPE = {"bootable", "multiattach", "shared_targets", "use_multipath"}
ANY_OF_ITS_TYPE |= {"encryption_opened"}
#: Values of the right type that no field accepts.
BAD: dict[Any, Any] = {
    str: "\0" * 70_000,
    int: 2**70,
    datetime.datetime: datetime.datetime(2026, 1, 1),
    dict: {"": float("inf")},
    Secret: Secret(["\0"]),
    AppliedStream: AppliedStream(point=""),
    TypeSpecs: TypeSpecs(id=""),
}
FIELDS = [
    pytest.param(record, field.name, id=f"{record.kind}-{field.name}")
    for record in (VOLUME, SNAPSHOT, CONNECTION)
    for field in msgspec.structs.fields(type(record))
    if field.name not in ANY_OF_ITS_TYPE
]


def _bad(record: Record, name: str) -> Any:
    (field,) = [f for f in msgspec.structs.fields(type(record)) if f.name == name]
    names = str(field.type)
    return next(bad for kind, bad in BAD.items() if kind.__name__ in names)


@pytest.mark.parametrize(("record", "name"), FIELDS)
def test_every_field_is_checked(record: Any, name: str) -> None:
    check_record(record)
    with pytest.raises(CinderlibError) as caught:
        check_record(replace(record, **{name: _bad(record, name)}))
    called = rules.called(type(record), name).split()[0].replace("'s", "")
    assert called in str(caught.value)


@pytest.mark.parametrize("kind", [VolumeRecord, SnapshotRecord, ConnectionRecord])
def test_defaults_comply_with_the_rules(kind: type[Record]) -> None:
    for group in (rules.OFTEN[kind], rules.COMMON[kind], rules.RARELY[kind]):
        for default, check, what in zip(group.defaults, group.checks, group.called, strict=True):
            if default is not None and default is not msgspec.NODEFAULT:
                check(default, what)
