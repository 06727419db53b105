"""Failover between two Ceph clusters, of which each copies the changes of the other with Ceph's own
daemon: what hosts read and write before and after."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers.ceph
from api.conftest import connector

import cinderlib as cl

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.parametrize("through", ["db"])]

REPLICATED = {"replication_enabled": "<is> True"}
_MIB = 1 << 20
#: Seconds. The daemon checks for new images every 30 seconds.
_COPIED = 180.0
Pair = tuple[servers.ceph.Cluster, servers.ceph.Cluster]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with servers.ceph.run_mirrored() as each:
        yield each


def _options(pair: Pair) -> dict[str, str]:
    first, second = pair
    return {
        "volume_driver": "rbd",
        "rbd_pool": servers.ceph.POOL,
        "rbd_user": servers.ceph.USER,
        "rbd_ceph_conf": str(first.configuration),
        "rbd_keyring_conf": str(first.keyring),
        "replication_device": f"backend_id:second,conf:{second.configuration},"
        f"user:{servers.ceph.USER}",
    }


@contextlib.contextmanager
def _opened(volume: cl.Volume) -> Iterator[Any]:
    """The image as a host opens it: with only the data of a connection."""
    import rados
    import rbd

    connection = volume.connect(connector("reader"))
    data = connection.connection_info["conn"]["data"]
    pool, _, name = data["name"].partition("/")
    key = next(line for line in data["keyring"].splitlines() if "key =" in line)
    cluster = rados.Rados(
        name=f"client.{data['auth_username']}",
        conf={
            "mon_host": f"[v2:{data['hosts'][0]}:{data['ports'][0]}]",
            "key": key.partition("=")[2].strip(),
        },
    )
    cluster.connect(timeout=60)
    try:
        with cluster.open_ioctx(pool) as opened, rbd.Image(opened, name) as image:
            yield image
    finally:
        cluster.shutdown()
        volume.disconnect(connection)


def _write(volume: cl.Volume, *places: int) -> None:
    with _opened(volume) as image:
        for place in places:
            image.write(os.urandom(_MIB), place * _MIB)
        image.flush()


def _checksum(volume: cl.Volume) -> str:
    found = hashlib.sha256()
    with _opened(volume) as image:
        for place in range(0, image.size(), 16 * _MIB):
            found.update(image.read(place, 16 * _MIB))
    return found.hexdigest()


def _wait_for_copy(cluster: servers.ceph.Cluster, volume: cl.Volume) -> None:
    """Wait until the cluster has every write to the image of the other one."""
    import rbd

    until = time.monotonic() + _COPIED
    status: Any = None
    with cluster.connected() as connected, connected.open_ioctx(servers.ceph.POOL) as pool:
        while time.monotonic() < until:
            with (
                contextlib.suppress(rbd.ImageNotFound),
                rbd.Image(pool, volume.name_in_storage, read_only=True) as image,
            ):
                status = image.mirror_image_get_status()
                if status["up"] and '"entries_behind_primary":0' in status["description"]:
                    return
            time.sleep(0.2)
    raise AssertionError(f"not copied after {_COPIED} s: {status}")


def test_data_follows_a_failover_and_the_way_back(controller: cl.Controller, pair: Pair) -> None:
    first, second = pair
    backend = controller.backend("ceph", **_options(pair))
    volume = backend.create_volume(1, name="data", extra_specs=REPLICATED)
    alone = backend.create_volume(1, name="alone")
    _write(volume, 0, 100, 1023)
    _write(alone, 7)
    before, before_alone = _checksum(volume), _checksum(alone)
    _wait_for_copy(second, volume)

    assert backend.failover().active_backend_id == "second"
    volume.refresh()
    alone.refresh()
    assert (volume.status, volume.replication_status) == ("available", "failed-over")
    assert alone.status == "error"
    assert _checksum(volume) == before
    _write(volume, 100, 500)
    there = _checksum(volume)
    assert there != before
    _wait_for_copy(first, volume)

    assert backend.failback().status == "enabled"
    volume.refresh()
    alone.refresh()
    assert (volume.status, volume.replication_status) == ("available", "enabled")
    assert _checksum(volume) == there
    assert _checksum(alone) == before_alone
    volume.delete()
    alone.delete()
    assert first.images() == []


def test_a_new_process_fails_over_after_the_loss_of_a_cluster(
    controller: cl.Controller, pair: Pair, tmp_path: Path
) -> None:
    first, second = pair
    # Otherwise Ceph's client waits for a lost cluster for minutes.
    options = {**_options(pair), "rados_connect_timeout": 5, "rados_connection_retries": 1}
    volume = controller.backend("ceph", **options).create_volume(1, extra_specs=REPLICATED)
    _write(volume, 3)
    before = _checksum(volume)
    _wait_for_copy(second, volume)
    controller.close()
    first.stop()
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state") as after:
        with pytest.raises(cl.errors.DriverError, match="cinderlib backend failover ceph"):
            after.backend("ceph", **options)
        assert after.failover("ceph", **options).active_backend_id == "second"
        backend = after.backend("ceph", **options)
        (found,) = backend.volumes
        assert (found.status, found.replication_status) == ("available", "failed-over")
        assert _checksum(found) == before
        assert _checksum(found.create_snapshot().create_volume()) == before
