"""Uses the whole documented API correctly. Only type checkers read it."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import cinderlib as cl
from cinderlib import errors
from cinderlib.exception import VolumeNotFound
from cinderlib.persistence import generate_key
from cinderlib.serialization import to_line


def print_progress(progress: cl.Progress) -> None:
    print(f"{progress.done / progress.total:.0%} {progress.unit} {progress.resource_id}")


@contextlib.contextmanager
def observe(activity: cl.Activity) -> Generator[None]:
    print(activity.kind == "driver call", activity.name, activity.backend)
    yield


def controllers(folder: pathlib.Path) -> None:
    key = generate_key()
    store = {"storage": "db", "connection": "sqlite:///cl.sqlite", "encryption_keys": [key]}
    with cl.Controller(
        store,
        file_locks_path=folder / "locks",
        root_helper="sudo",
        suppress_requests_ssl_warnings=True,
        disable_logs=False,
        non_uuid_ids=True,
        output_all_backend_info=False,
        project_id="project",
        user_id="user",
        fail_on_missing_backend=False,
        host="controller-1",
        state_path=folder,
        strict_options=True,
        lock_url=None,
        lock_timeout=10,
        recover=False,
        progress=print_progress,
        observer=observe,
        history_limit=1000,
        volume_keys={"manager": "store"},
        cinder_options={"my_ip": "192.0.2.7", "coordination": {"backend_url": "file:///locks"}},
    ) as ctl:
        ctl.set_persistence({"storage": "memory"})
        missing: list[str] = ctl.check_backend("lvm", volume_driver="lvm", volume_group="vg")
        backend: cl.Backend = ctl.backend("lvm", volume_driver="lvm", volume_group="vg")
        print(missing, list(ctl.backends), ctl.backends["lvm"] is backend, repr(ctl))
        finding: cl.Finding
        for finding in ctl.diagnose({"lvm": {"volume_driver": "lvm"}}):
            print(finding.check, finding.severity, finding.problem, finding.meaning)
            print("\n".join(finding.commands), finding.advice)
        recovered: cl.Recovered
        for recovered in ctl.recover():
            print(recovered.operation, recovered.backend, recovered.resource_id)
            print(recovered.outcome, recovered.reason)
        operation: cl.Operation
        for operation in ctl.history("data", backend="lvm", since=None, limit=10, running=False):
            print(operation.operation, operation.name, operation.user, operation.arguments)
            print(operation.started_at, operation.ended_at, operation.seconds, operation.outcome)
            print(operation.driver_seconds, operation.host, operation.pid, operation.program)
            print(operation.recovered_by, ctl.history(after=operation.id))
        rotation: cl.Rotation = ctl.rotate_encryption()
        print(rotation.encrypted + rotation.current + rotation.failed)
        print(ctl.host, ctl.project_id, ctl.user_id, ctl.non_uuid_ids, ctl.store, ctl.persistence)
        print(ctl.output_all_backend_info, ctl.fail_on_missing_backend, ctl.with_key)
        look_up(ctl)
        documents(ctl)
        backends(backend)
    ctl.close()


def look_up(ctl: cl.Controller) -> Iterator[str]:
    volumes: Iterator[cl.Volume] = ctl.volumes(backend="lvm", name="data", limit=10)
    last = next(volumes)
    yield from (volume.id for volume in ctl.volumes(after=last))
    yield from (snapshot.name for snapshot in ctl.snapshots(backend="lvm", name="monday"))
    for connection in ctl.connections(backend="lvm", attached_host="node-1", limit=1):
        yield connection.volume.name
    yield ctl.volume("id").name
    yield ctl.snapshot("id").name
    yield ctl.connection("id").id


def documents(ctl: cl.Controller) -> None:
    for document in ctl.documents(ctl.volumes()):
        described: cl.VolumeDocument = document
        print(to_line(described), described.backend_name, described.backend_options)
        print(described.format)
        print(described.volume.id, described.snapshots, described.connections, described.subject)
    loaded = ctl.load("[]", save=True, trusted=False, max_bytes=2**20)
    for item in loaded if isinstance(loaded, list) else [loaded]:
        if isinstance(item, cl.Volume):
            print(item.size)
    volume: cl.Volume = ctl.Volume.load("{}", save=True)
    text: str = volume.jsons + volume.dumps + volume.to_jsons(simplified=False)
    plain: dict[str, Any] = volume.json | volume.dump | volume.to_json(simplified=True)
    print(text, plain, volume.to_dict()["size"])


def backends(backend: cl.Backend) -> None:
    print(backend.id, backend.config["volume_driver"], backend.pool_names, backend.scan_attempts)
    print(
        backend.driver_stats(refresh=True)["pools"],
        backend.stats(refresh=True)["pools"],
        backend.controller.store,
    )
    driver: cl.DriverAttributes = backend.driver
    print(driver.get_version(), repr(backend))
    backend.refresh()
    print(backend.live_migration, [pair.key for pair in backend.controller.key_values()])
    backend.validate_connector({"host": "node-1"})
    age: float | None = backend.stats_age
    ability: cl.Capability = backend.capabilities()["volume.revert"]
    print(age, ability.operation, ability.is_possible, ability.way == "native", ability.reason)
    state: cl.Replication = backend.failover("second")
    state = backend.controller.failover("array", "default", volume_driver="rbd")
    state = backend.failback() if state.changed else backend.failover()
    print(backend.freeze().frozen, backend.thaw().targets, backend.replication.status)
    print(state.active_backend_id, state.is_usable, state.stats())
    same: list[cl.Volume] = [*backend.volumes, *backend.volumes_filtered(volume_name="data")]
    same += backend.volumes_filtered(volume_id="id") + backend.restore_exports()
    found: cl.Discrepancy
    for found in backend.reconcile(repair=True, remove=["id"]):
        print(found.problem, found.kind, found.backend, found.resource_id, found.name)
        print(found.detail, found.remedy, found.outcome, found.reason)
    print(len(same), backend.json, backend.jsons, backend.dump, backend.dumps)
    backend.persistence.set_key_value(cl.KeyValue("key", "value"))
    print(list(backend.persistence.get_key_values("key")))
    pair = cl.KeyValue("key", value=None)
    print(pair.key, pair.value)
    existing(backend)
    volumes(backend)


def volumes(backend: cl.Backend) -> None:
    volume = backend.create_volume(
        1.5,
        "data",
        description="of the database",
        bootable=False,
        id="an-id",
        pool_name="pool",
        multiattach=True,
        unique_name=True,
        metadata={"owner": "me"},
        admin_metadata={},
        extra_specs={"compression": "true"},
        qos_specs={"maxIOPS": "100"},
        availability_zone="nova",
        cluster_name=None,
        user_id="user",
        project_id="project",
    )
    found = cl.Connection(backend, volume_id="id", status="attached", connector={"host": "node-1"})
    found.save()
    described = backend.Volume(backend, size=1, name="other", host="h@lvm#pool")
    described.create()
    cl.Volume(volume, "pool", display_name="like it", display_description="").create()
    volume.name, volume.description, volume.bootable = "renamed", "", True
    volume.availability_zone = None
    volume.metadata["backup"] = "daily"
    volume.metadata = {"backup": "weekly"}
    volume.admin_metadata = {}
    volume.save()
    volume.refresh()
    volume.rename("production")
    size: int = volume.extend(2)
    created: datetime.datetime | None = volume.created_at
    if created is not None:
        print(datetime.datetime.now(datetime.UTC) - created, volume.updated_at, volume.launched_at)
    status: str = volume.status
    provider: str | None = volume.provider_id or volume.provider_location
    print(size, status, provider, volume.is_new, volume.changed, volume.host, volume.size)
    print(volume.attach_status, volume.previous_status, volume.migration_status, volume.group_id)
    print(volume.glance_metadata, volume.extra_specs, volume.qos_specs, volume.volume_type_id)
    print(volume.encryption.get("provider"))
    print(volume.source_volid, volume.snapshot_id, volume.multiattach, volume.name_in_storage)
    print(
        volume.backend.id,
        volume.encryption_key_id,
        volume.encryption_key_ref,
        volume.shared_targets,
        volume.cluster_name,
    )
    print(volume.replication_status, volume.replication_extended_status)
    print(volume.replication_driver_data, volume.provider_geometry)
    kind: cl.VolumeType | None = volume.volume_type
    if kind is not None and kind.qos_specs is not None:
        limits: cl.QoSSpecs = kind.qos_specs
        print(kind.extra_specs["compression"], limits.specs["maxIOPS"], limits.consumer)
    copy: cl.Volume = volume.clone(name="copy", size=3, pool_name="pool", metadata={})
    by_name: list[cl.Volume] = cl.Volume.get_by_name("data")
    print(cl.Volume.get_by_id("id") == copy, by_name, {volume, copy})
    snapshots(volume)
    connections(volume)
    copy.delete()


def migration(volume: cl.Volume, backend: cl.Backend) -> None:
    volume.migrate(backend)
    volume.migrate("other", "pool", by_copy=True)
    copy: cl.Volume = volume.start_migration(backend, "pool")
    print(copy, volume.migration_copy)
    volume.finish_migration()
    volume.cancel_migration()
    moved: bool | None = volume.changed
    print(moved, volume.migration_status)


def volume_types(ctl: cl.Controller, backend: cl.Backend) -> None:
    gold: cl.VolumeType = ctl.create_type(
        "gold",
        description="fast",
        extra_specs={"compression": "true"},
        qos_specs={"maxIOPS": "100"},
        encryption={"provider": "luks2"},
    )
    print(gold.encryption.get("cipher"), backend.create_volume(1, encryption={"cipher": "aes"}))
    print(gold.name, gold.description, [each.id for each in ctl.types()])
    gold = ctl.change_type("gold", extra_specs={"compression": None}, qos_specs={"maxIOPS": "200"})
    volume: cl.Volume = backend.create_volume(1, type="gold")
    name: str | None = volume.type_name
    volume.retype(ctl.volume_type("gold"))
    volume.retype("gold", migrate=True)
    volume.retype(migrate=True, backend=backend, pool="pool")
    volume.retype(extra_specs={"compression": "true"}, qos_specs={})
    if volume.retype_target is not None:
        print(name, volume.retype_target.name, volume.retype_target.extra_specs)
    deleted: bool = ctl.delete_type("gold")
    print(deleted)


def groups(ctl: cl.Controller, backend: cl.Backend, volume: cl.Volume) -> None:
    group: cl.Group = backend.create_group("database", [volume], "description", id=None)
    group.add(volume)
    group.remove(volume)
    members: list[cl.Volume] = group.volumes
    taken: cl.GroupSnapshot = group.create_snapshot("monday", one_after_another=True)
    snapshots: list[cl.Snapshot] = taken.snapshots
    print(group.volume_ids, taken.snapshot_ids)
    print(members, snapshots, taken.consistent, taken.group.name, group.native, group.changed)
    print([each.status for each in ctl.groups(backend="fast")], ctl.group(group.id).snapshots)
    print([each.name for each in ctl.group_snapshots(name="x")], ctl.group_snapshot(taken.id))
    copy: cl.Group = taken.create_group("test", "description", id=None)
    clone: cl.Group = group.clone("other", "description", id=None, one_after_another=True)
    print(copy.group_snapshot_id, clone.source_group_id)
    taken.delete()
    group.delete(volumes=True)
    specs: dict[str, str] = {"consistent_group_replication_enabled": "<is> True"}
    replicated: cl.Group = backend.create_group("replicated", [volume], group_specs=specs)
    replicated.enable_replication()
    replicated.failover("second", allow_attached=True)
    status: str = replicated.replication_status
    print(status, replicated.active_backend_id, replicated.group_specs)
    replicated.failback(allow_attached=True)
    replicated.disable_replication()


def placement(ctl: cl.Controller) -> None:
    volume: cl.Volume = ctl.create_volume(
        1, "data", "chosen", backends=["fast", "lvm"], type="gold", multiattach=True
    )
    try:
        ctl.create_volume(2**20, extra_specs={"thin_provisioning_support": "<is> True"})
    except errors.NoBackendFits as exc:
        print(exc, volume.backend.id, volume.host)


def existing(backend: cl.Backend) -> None:
    item: cl.Manageable
    for item in backend.manageable_volumes(marker=None, limit=10, offset=0, sort_keys=["size"]):
        if item.safe_to_manage and item.resource_id is None:
            volume: cl.Volume = backend.manage_volume(item.reference, "taken over", metadata={})
            print(volume.managed_from, item.kind, item.size, item.extra_info)
            for each in backend.manageable_snapshots(sort_dirs=["desc"]):
                if each.source_reference == item.reference:
                    snapshot: cl.Snapshot = volume.manage_snapshot(each.reference, name="monday")
                    print(snapshot.managed_from)
                    snapshot.unmanage()
            volume.unmanage()
        else:
            print(item.reason_not_safe)


def streams(older: cl.Snapshot, newer: cl.Snapshot, target: cl.Volume) -> None:
    extent: cl.Extent
    for extent in newer.extents(since=older):
        print(extent.offset + extent.length, extent.kind)
    part: cl.Extents = target.list_extents(offset=4096)
    print(part.found, part.end, list(target.extents()))
    with open("changes", "w+b") as file:
        exported: cl.Exported = newer.export_stream(file, since=older, progress=print)
        print(exported.point, exported.since, exported.data_bytes, exported.sha256)
        print(exported.size_bytes)
        file.seek(0)
        applied: cl.Applied = target.apply_stream(file)
        print(applied.changed, applied.point)
        target.export_stream(file)
    if target.applied is not None and not target.applied.complete:
        print(target.applied.point, target.applied.since, target.applied.resumable)
    must: bool = target.begin_apply("connection", point="a", since=None, size=1)
    target.finish_apply("connection", written=must)


def snapshots(volume: cl.Volume) -> None:
    snapshot: cl.Snapshot = volume.create_snapshot("monday", id="an-id", metadata={"by": "cron"})
    cl.Snapshot(volume, name="tuesday", description="").create()
    snapshot.name, snapshot.description, snapshot.metadata = "renamed", "", {}
    snapshot.save()
    print(snapshot.status, snapshot.volume_id, snapshot.volume_size, snapshot.volume.name)
    print(snapshot.progress, snapshot.provider_id, snapshot.name_in_storage, snapshot.user_id)
    with snapshot.attached() as attached, open(attached.path, "rb") as device:
        print(device.read(512), snapshot.local_attach, attached.volume.snapshot_access)
    mapped: cl.Connection = snapshot.connect({"host": "node-1"}, attached_host="node-1")
    print(snapshot.attach(link="/run/monday") == mapped, snapshot.connections[0].attach_mode)
    snapshot.detach(force=True)
    restored: cl.Volume = snapshot.create_volume(name="restored", size=3)
    newer: list[cl.Snapshot] = volume.revert_blockers(volume.snapshots[0])
    print([each.name for each in newer])
    volume.revert_to_snapshot(volume.snapshots[-1])
    volume.revert_to_snapshot(volume.snapshots[0], by_copy=True)
    volume.wipe()
    print(restored, cl.Snapshot.get_by_id("id"), cl.Snapshot.get_by_name("monday"))
    snapshot.delete()


def connections(volume: cl.Volume) -> None:
    with volume.attached(decrypt=False) as attached, open(attached.path, "r+b") as device:
        device.write(b"*" * 512)
    connection: cl.Connection = volume.attach(migrating=True, persist=True, read_only=True)
    print(
        connection.path,
        connection.file_format,
        connection.protocol,
        connection.connected,
        connection.attached,
    )
    print(volume.attach(cgroup="/sys/fs/cgroup/database").qos_specs)
    volume.detach(force=True, ignore_errors=True)
    mapped = volume.connect(
        cl.get_connector_properties("sudo", None, multipath=True, enforce_multipath=False),
        attached_host="node-1",
        attach_mode="ro",
        mountpoint="/srv",
        instance_uuid="vm-1",
        use_multipath=True,
        device_scan_attempts=5,
        id="an-id",
    )
    mapped.attach()
    grown: int = mapped.extend()
    mapped.attach_mode, mapped.mountpoint, mapped.instance_uuid = "rw", None, None
    mapped.use_multipath, mapped.scan_attempts, mapped.attached_host = False, 3, "node-2"
    mapped.device_attached({"path": "/dev/sdx"})
    info: dict[str, Any] = mapped.connection_info
    print(grown, info, mapped.conn_info, mapped.connector_info, mapped.device, mapped.attached_at)
    print(mapped.device_state == "another")
    mapped.detach(force=True)
    mapped.disconnect(force=True)
    volume.disconnect(mapped, force=True)
    here: cl.Connection | None = volume.local_attach
    print(here, volume.connections, cl.Connection.get_by_id("id").volume_id)
    volume.cleanup()


def nodes(ctl: cl.Controller, connection_info: Mapping[str, Any], folder: pathlib.Path) -> None:
    node = cl.Node(
        root_helper="sudo",
        my_ip="192.0.2.8",
        multipath=True,
        enforce_multipath=True,
        host="node-1",
        state_path=folder,
    )
    node.register(ctl, "node-1", protocol="iscsi")
    connector: dict[str, Any] = node.connector_properties("iscsi")
    attachment: cl.Attachment = node.attach(connection_info)
    print(attachment.file_format)
    with open(attachment.path, "rb") as device:
        print(device.read(512), connector, attachment.device, attachment.changed)
    same: cl.Attachment | None = node.attachment(connection_info)
    print(same, attachment.state == "gone", node.look(connection_info, attachment.device) == "ok")
    print(attachment.multipath_id, attachment.scsi_wwn, attachment.to_dict())
    print(
        attachment.cgroup, attachment.qos_specs, node.attach(connection_info, cgroup="/a") == same
    )
    kept: cl.PersistentAttachments = node.persistent
    persistent: cl.PersistentAttachment
    for persistent in [*kept.all(), *kept.attach(wait=60)]:
        print(persistent.connection_info, persistent.link, persistent.attachment, persistent.error)
    print(kept.add(connection_info), kept.add("an-id"), kept.remove("an-id") is True)
    size: int = node.extend(connection_info)
    print(size, node.attachments(), node.identity)
    detached: bool = node.detach(attachment.connection_info, device=attachment.device, force=True)
    print(detached, node.detach("an-id", ignore_errors=True))
    left: list[cl.Leftover] = node.cleanup(node.leftovers())
    diagnosis: cl.Diagnosis = node.diagnose(["iscsi"], needed={"nvme": "backend fast"})
    print(
        [(each.key, each.connection_id, each.operation, each.device, each.users) for each in left]
    )
    print(diagnosis.protocols["iscsi"], diagnosis.findings)


def failures(ctl: cl.Controller) -> None:
    try:
        ctl.volume("id").delete()
    except VolumeNotFound as exc:
        print(exc.msg, exc.code, exc.resource)
    except errors.AlreadyExists as exc:
        print(exc.differences["size"])
    except errors.CinderlibError as exc:
        if not exc.retryable:
            raise


def default_controller(folder: pathlib.Path) -> None:
    cl.setup(
        file_locks_path=folder,
        persistence_config={"storage": "memory"},
        state_path=folder,
        lock_timeout=1,
        progress=print_progress,
        my_ip="192.0.2.7",
        debug=True,
        default_log_levels=["os_brick=INFO"],
        max_over_subscription_ratio="auto",
        ssh_hosts_key_file="/etc/ssh/ssh_known_hosts",
        strict_ssh_host_key_policy=True,
        coordination={"backend_url": "file:///locks"},
        os_brick={"wait_mpath_device_attempts": 4},
    )
    cl.Backend.global_setup(root_helper="sudo")
    cl.Backend.set_persistence("memory")
    backend = cl.Backend(volume_backend_name="files", volume_driver="file", file_root="/volumes")
    print(cl.Backend.backends["files"] is backend, cl.Backend.load_backend(backend.config))
    print(cl.Backend.load(backend.json, save=True, trusted=True).id, cl.__version__)
    everything: list[dict[str, Any]] = cl.dump() + cl.json()
    print(everything, cl.dumps() + cl.jsons(), cl.load(everything, save=True))
    print(cl.list_supported_drivers(2)["FileDriver"], cl.Backend.list_supported_drivers(1))
    text: list[cl.objects.Volume] = backend.volumes
    print(text)


def names_of_cinderlib5(
    volume: cl.Volume, snapshot: cl.Snapshot, connection: cl.Connection
) -> None:
    print(cl.DEFAULT_PROJECT_ID, cl.DEFAULT_USER_ID, cl.Backend.global_initialization)
    volume.display_name, snapshot.display_description = snapshot.display_name, "text"
    print(volume.display_description, volume.cluster, volume.group, volume.name_id, volume.ec2_id)
    print(volume.consistencygroup, volume.consistencygroup_id, volume.scheduled_at)
    print(volume.service_uuid, volume.terminated_at, volume.use_quota, volume.provider_auth)
    print([pair["key"] for pair in volume.volume_metadata + volume.volume_admin_metadata])
    print(volume.volume_glance_metadata, [each.id for each in volume.volume_attachment.objects])
    print(volume.deleted, volume.deleted_at, volume.new_uuid())
    kind = volume.volume_type
    print(kind and kind.is_public, kind and kind.qos_specs_id)
    print(snapshot.cgsnapshot, snapshot.cgsnapshot_id, snapshot.group_snapshot, snapshot.use_quota)
    print(snapshot.group_snapshot_id, snapshot.volume_name)
    print(connection.attach_time, connection.detach_time, connection.volume_host)
    print(connection.attach_status)


def nodes_of_a_service(document: Mapping[str, Any]) -> None:
    with cl.NodeClient(
        "https://192.0.2.10:8775",
        certificate="node1.pem",
        key=pathlib.Path("node1.key"),
        ca="ca.pem",
        node=cl.Node(host="node1"),
    ) as client:
        print(client.register("node1", protocol="iscsi"), client.node.attachments())
        attachment: cl.Attachment = client.attach(
            "data", attach_mode="ro", protocol="iscsi", migrating=False
        )
        connections: list[dict[str, Any]] = list(client.connections("id"))
        detached: bool = client.detach("id", force=True, ignore_errors=True)
        print(attachment.path, connections, detached, client.detach(document))
        client.close()


def services(volume: cl.Volume, snapshot: cl.Snapshot, connection: cl.Connection) -> None:
    with cl.connect(
        "https://192.0.2.10:8775",
        certificate="node1.pem",
        key=pathlib.Path("node1.key"),
        ca="ca.pem",
        root_helper="sudo",
        my_ip="192.0.2.7",
        state_path="/var/lib/node",
        progress=print_progress,
    ) as service:
        controller: cl.RemoteController = service
        controller.refresh_backends()
        controller.reload()
        print(controller.url, controller.local_connector(controller.backend("lvm")))
        status: dict[str, Any] = controller.status()
        print(status["pid"])
        backend: cl.Backend = controller.backend("lvm")
        print(controller.loaded("lvm") is backend, controller.backends["lvm"].driver_info.driver)
        print(controller.is_local, controller.configuration, controller.document_options("lvm"))
        print(controller.peek_volume(volume.id), controller.name_in_storage(volume.record))
        name: str
        properties: dict[str, Any]
        for name, properties in controller.nodes():
            print(name, properties["host"])
        print(controller.register_node("node2", controller.node("node1")))
        cl.Node().register(controller, "node1")
        print(volume.record, snapshot.record, controller.with_key(connection.record))
        print(controller.history(volume, limit=5))
        print(controller.recover(), list(controller.volumes()), repr(controller))
        controller.close()


def reload(controller: cl.Controller) -> None:
    close = controller.reload_backend("lvm", volume_driver="lvm", volume_group="other")
    close()
