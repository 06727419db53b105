"""Drivers receive the same objects as from Cinder itself."""

from __future__ import annotations

import datetime

import pytest

from cinderlib import drivers
from cinderlib.records import Secret, SnapshotRecord, VolumeRecord

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)
ID = "11111111-2222-4333-8444-555555555555"
OTHER = "99999999-2222-4333-8444-555555555555"

VOLUMES = [
    VolumeRecord(id=ID, backend="b", size=1, host="h@b#p"),
    VolumeRecord(
        id=ID, backend="b", size=7, host="h@b#p", name="n", description="d", status="in-use",
        attach_status="attached", previous_status="available", availability_zone="z",
        cluster_name="c", user_id="u", project_id="p", bootable=True, multiattach=True,
        metadata={"a": "1"}, admin_metadata={"b": "2"}, glance_metadata={"c": "3"},
        source_volid=OTHER, snapshot_id=OTHER, name_id=OTHER, encryption_key_id=OTHER,
        replication_status="enabled", provider_id="i", provider_location="l",
        provider_geometry="512", provider_auth=Secret("CHAP u s"), shared_targets=True,
        launched_at=NOW, created_at=NOW, updated_at=NOW,
    ),
]  # fmt: skip
SNAPSHOTS = [
    SnapshotRecord(id=ID, backend="b", volume_id=OTHER, volume_size=3),
    SnapshotRecord(
        id=ID, backend="b", volume_id=OTHER, volume_size=3, name="n", description="d",
        status="available", progress="100%", user_id="u", project_id="p", metadata={"a": "1"},
        provider_location="l", provider_auth=Secret("s"), created_at=NOW, updated_at=NOW,
    ),
]  # fmt: skip


@pytest.fixture
def context(settings):
    drivers.prepare(settings)
    from cinderlib.drivers import translate

    return translate.context("u", "p")


@pytest.mark.parametrize("record", VOLUMES + SNAPSHOTS)
def test_an_object_equals_a_constructed_object(context, record) -> None:
    from cinder import objects

    from cinderlib.drivers import rows, translate

    if isinstance(record, VolumeRecord):
        made, kind, type_id = translate.volume(context, record), objects.Volume, record.id
    else:
        made, kind, type_id = translate.snapshot(context, record), objects.Snapshot, OTHER
    slowly = kind(context, **rows.columns(record), volume_type_id=type_id)
    slowly.obj_reset_changes()
    assert made.obj_to_primitive() == slowly.obj_to_primitive()
    for name in kind.fields:
        assert made.obj_attr_is_set(name) == slowly.obj_attr_is_set(name), name
        if made.obj_attr_is_set(name):
            assert type(getattr(made, name)) is type(getattr(slowly, name)), name
    assert made.obj_what_changed() == set()
