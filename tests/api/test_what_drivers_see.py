"""Data that drivers receive and return around their calls, like in Cinder's manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from api.conftest import LoadBackend, connector
from api.play import Played, reset

import cinderlib as cl
from cinderlib.persistence.base import Put
from cinderlib.records import SnapshotRecord, VolumeRecord, replace

Load = Callable[[str], cl.Backend]


@pytest.fixture
def play() -> Iterator[Played]:
    yield reset()
    reset()


@pytest.fixture
def load(load_backend: LoadBackend, play: Played) -> Load:
    return lambda kind: load_backend("played", volume_driver=f"api.played_drivers.{kind}")


def test_a_volume_has_an_owner(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    backend.create_volume(1).create_snapshot()
    (volume,), (taken,) = play.seen["create_volume"], play.seen["create_snapshot"]
    assert (volume.project_id, volume.user_id) == ("cinderlib", "cinderlib")
    assert taken.project_id == taken.volume.project_id == "cinderlib"
    assert type(volume).get_by_id(volume._context, volume.id).project_id == "cinderlib"
    assert volume._context.project_id == "cinderlib"
    backend.create_volume(1, project_id="theirs", user_id="somebody")
    (volume,) = play.seen["create_volume"]
    assert (volume.project_id, volume.user_id) == ("theirs", "somebody")


def test_a_host_has_a_name_in_its_attachment(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    volume, other = (backend.create_volume(1, multiattach=True) for _ in range(2))
    volume.connect(connector("alpha"))
    volume.connect(connector("beta"), attached_host="beta")
    other.connect(connector("alpha"))
    seen, _ = play.seen["initialize_connection"]
    from cinder import objects
    from cinder.db import api as db

    attachments = objects.VolumeAttachmentList.get_all_by_volume_id(seen._context, volume.id)
    assert [each.attached_host for each in attachments] == ["alpha", "beta"]
    hosts = db.volume_attachment_get_all_by_host(seen._context, "alpha")
    assert {each.volume_id for each in hosts} == {volume.id, other.id}


@pytest.mark.parametrize(
    ("protocol", "reported", "shared"),
    [
        ("iSCSI", None, True),
        ("iSCSI", False, False),
        ("NVMe-oF", None, True),
        ("FC", None, False),
        ("ceph", True, False),
    ],
)
def test_shared_targets_of_volumes(
    load: Load, play: Played, protocol: str, reported: bool | None, shared: bool
) -> None:
    play.stats["storage_protocol"] = protocol
    if reported is not None:
        play.stats["shared_targets"] = reported
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    made = volume, volume.clone(), volume.create_snapshot().create_volume()
    assert [each.shared_targets for each in made] == [shared] * 3


def test_stats_have_the_fields_of_the_scheduler(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    before = backend.stats()
    assert before["allocated_capacity_gb"] == 0
    assert {"filter_function", "goodness_function"} <= before.keys()
    backend.create_volume(3)
    backend.create_volume(4)
    stats = backend.stats(refresh=True)
    (pool,) = stats["pools"]
    assert (stats["allocated_capacity_gb"], pool["allocated_capacity_gb"]) == (7, 7)
    assert pool["cacheable"] is True
    play.stats["storage_protocol"] = "ceph"
    assert "cacheable" not in backend.stats(refresh=True)["pools"][0]


def test_image_metadata_is_copied(load: Load, library: cl.Controller, play: Played) -> None:
    backend = load("StubDriver")
    store = library.store
    volume = backend.create_volume(1, bootable=True)
    record = store.get(VolumeRecord, volume.id)
    assert record is not None
    image = {"image_id": "1234", "min_disk": "1"}
    store.apply(Put(replace(record, glance_metadata=image)))
    snapshot = volume.create_snapshot()
    record = store.get(VolumeRecord, volume.id)
    assert record is not None
    store.apply(Put(replace(record, glance_metadata={"image_id": "another"})))
    restored, clone = snapshot.create_volume(), volume.clone()
    assert restored.glance_metadata == image
    assert clone.glance_metadata == {"image_id": "another"}
    assert (restored.bootable, clone.bootable) == (True, True)


def test_records_of_older_versions_are_completed(
    library: cl.Controller, play: Played, load: Load
) -> None:
    host = "controller@played#pool"
    ids = [f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in range(3)]
    volumes = [VolumeRecord(id=id, backend="played", size=1, host=host) for id in ids]
    volumes[0] = replace(volumes[0], provider_id="kept")
    snapshot = SnapshotRecord(id=ids[0], backend="played", volume_id=ids[1], volume_size=1)
    library.store.apply(*map(Put, [*volumes, snapshot]))
    play.answers["update_provider_info"] = (
        [{"id": id, "provider_id": "new"} for id in ids[:2]],
        [{"id": ids[0], "provider_id": "snap"}],
    )
    load("CompletingDriver")
    found = [library.store.get(VolumeRecord, id) for id in ids]
    assert [each and each.provider_id for each in found] == ["kept", "new", None]
    kept = library.store.get(SnapshotRecord, ids[0])
    assert kept is not None
    assert kept.provider_id == "snap"
    seen_volumes, seen_snapshots = play.seen["update_provider_info"]
    assert [each.id for each in seen_volumes] == ids
    assert seen_snapshots[0].volume is seen_volumes[1]


def test_a_backend_loads_even_if_completing_records_fails(
    library: cl.Controller, play: Played, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    host = "controller@played#pool"
    id = "aaaaaaaa-0000-4000-8000-000000000000"
    library.store.apply(Put(VolumeRecord(id=id, backend="played", size=1, host=host)))
    play.fails["update_provider_info"] = RuntimeError("no answer")
    assert load("CompletingDriver").volumes[0].provider_id is None
    assert "no answer" in caplog.text


def test_drivers_are_not_called_without_need(load: Load, play: Played) -> None:
    load("CompletingDriver")
    assert "update_provider_info" not in play.calls
