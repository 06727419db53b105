"""The interrupted calls: every public operation that makes changes, each from a settled state.

A scenario prepares the state, and then returns the call that will be interrupted and repeated. Each
process finds the resources again, so the call raises ``NotFound`` if a finished call has deleted
them.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection
from typing import Any

import luks_host
import pytest
from world import GROUP, GROUP_COPY, GROUP_SNAPSHOT, OTHER, World

from cinderlib import errors, serialization
from cinderlib.cli import storefile
from cinderlib.locking.process_identity import this_host
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

A, B, S, C = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abcd")

Call = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """
    :ivar prepare: creates the initial state.
    :ivar start: returns the call.
    :ivar unmanaged: the files without a record before or after the call.
    :ivar driver: the class in ``array_driver.py``.
    :ivar has_other: whether there is a second backend.
    :ivar loads: whether it loads volumes one after the other, if the store has no large
        transactions.
    :ivar encrypted: whether volumes are encrypted, so that the store encrypts their keys.
    :ivar key_files: whether their keys are in files instead.
    :ivar repairs: whether the initial state has discrepancies, which the call removes one by one.
    """

    name: str
    prepare: Callable[[World], Any]
    start: Callable[[World], Call]
    unmanaged: frozenset[str] = frozenset()
    driver: str = "ArrayDriver"
    has_other: bool = False
    loads: bool = False
    encrypted: bool = False
    repairs: bool = False
    key_files: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether only the slow tests include it: others take similar steps."""
        if self.encrypted and self.name.startswith("attach"):
            return True
        begins = ("migrate by", "retype by", "start migration", "finish migration")
        is_like = self.name.startswith((*begins, "cancel migration"))
        return "manage" in self.name or "copied" in self.name or is_like

    @property
    def is_recorded(self) -> bool:
        """Whether the history has it."""
        return self.name not in ("register node", "delete type", "limit attached")


SCENARIOS: dict[str, Scenario] = {}


def names(*without: str) -> list[Any]:
    """The names of the scenarios, as parameters of tests."""
    return [
        pytest.param(name, marks=_marks(scenario))
        for name, scenario in SCENARIOS.items()
        if name not in without
    ]


def _marks(scenario: Scenario) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.slow] if scenario.is_slow else []
    if scenario.encrypted and (lacks := luks_host.missing()):
        marks.append(pytest.mark.skip(reason=lacks))
    return marks


def scenario(
    prepare: Callable[[World], Any],
    unmanaged: Collection[str] = (),
    driver: str = "ArrayDriver",
    *,
    has_other: bool = False,
    loads: bool = False,
    encrypted: bool = False,
    repairs: bool = False,
    key_files: bool = False,
) -> Callable[[Callable[[World], Call]], None]:
    def register(start: Callable[[World], Call]) -> None:
        name = start.__name__.replace("_", " ")
        SCENARIOS[name] = Scenario(
            *(name, prepare, start, frozenset(unmanaged), driver, has_other, loads),
            encrypted=encrypted or key_files,
            repairs=repairs,
            key_files=key_files,
        )

    return register


def method(
    name: str,
    prepare: Callable[[World], Any],
    find: Callable[[World], Any],
    called: str,
    unmanaged: Collection[str] = (),
    driver: str = "ArrayDriver",
    *,
    encrypted: bool = False,
    key_files: bool = False,
) -> None:
    """Register the call of a method without arguments.

    :param find: returns the resource.
    """

    def start(w: World) -> Call:
        call: Call = getattr(find(w), called)
        return call

    SCENARIOS[name] = Scenario(
        *(name, prepare, start, frozenset(unmanaged), driver),
        encrypted=encrypted or key_files,
        key_files=key_files,
    )


def _volume(w: World) -> Any:
    return w.volume(A)


def _snapshot(w: World) -> Any:
    return w.controller.snapshot(S)


def _connection(w: World) -> Any:
    return w.controller.connection(C)


# --- initial states ------------------------------------------------------------------------------


def nothing(w: World) -> None:
    """Empty storage."""


def volume(w: World) -> None:
    w.make_volume(A, name="first", metadata={"a": "1"})


def encrypted(w: World) -> None:
    w.backend.create_volume(1, id=A, name="first", encryption={"provider": "luks2"})


def encrypted_unused(w: World) -> None:
    w.make_volume(A, name="first", encryption={"provider": "luks2"})


def encrypted_attached(w: World) -> None:
    encrypted(w)
    w.volume(A).attach()


def typed(w: World) -> None:
    w.controller.create_type("thick", extra_specs={"provisioning:type": "thick"})
    w.controller.create_type("unused")
    volume(w)


def gold(w: World) -> None:
    w.controller.create_type("gold", extra_specs={"tier": "gold"})
    volume(w)


def to_encrypt(w: World) -> None:
    w.controller.create_type("encrypted", encryption={"provider": "luks2"})
    volume(w)


def to_decrypt(w: World) -> None:
    w.controller.create_type("encrypted", encryption={"provider": "luks2"})
    w.controller.create_type("gold", extra_specs={"tier": "gold"})
    made = w.backend.create_volume(1, id=A, name="first", type="encrypted")
    w.write_decrypted(made, A)


def limited(w: World) -> None:
    limits = {"consumer": "front-end", "read_iops_sec": "100"}
    w.make_volume(A, name="first", qos_specs=limits)
    w.make_cgroup()


def attached_unlimited(w: World) -> None:
    limited(w)
    w.volume(A).attach()


def attached_limited(w: World) -> None:
    limited(w)
    w.volume(A).attach(cgroup=str(w.cgroup))


def shared(w: World) -> None:
    w.make_volume(A, multiattach=True)
    w.volume(A).connect(w.connector("first"), attached_host="first")


def migrating(w: World) -> None:
    connected(w)
    w.volume(A).connect(w.connector("second"), attached_host="second", migrating=True)


def shared_by_two(w: World) -> None:
    shared(w)
    w.volume(A).connect(w.connector("second"), attached_host="second", id=C)


def snapshot(w: World) -> None:
    volume(w)
    w.volume(A).create_snapshot("kept", id=S)


def attached_snapshot(w: World) -> None:
    snapshot(w)
    w.controller.snapshot(S).attach()


def connected_snapshot(w: World) -> None:
    snapshot(w)
    w.controller.snapshot(S).connect(w.connector("first"), attached_host="first", id=C)


def changed_since_snapshot(w: World) -> None:
    snapshot(w)
    w.write(w.volume(A), "changed")


def exported(w: World) -> None:
    """A volume, and the stream of another volume with the same data. So a volume that is partly
    written has no third content."""
    volume(w)
    other = w.make_volume(B)
    w.write(other, A)
    with (w.root / "stream").open("wb") as file:
        other.export_stream(file)
    other.delete()


def connected(w: World) -> None:
    volume(w)
    w.volume(A).connect(w.connector("first"), attached_host="first", id=C)


def connected_here(w: World) -> None:
    volume(w)
    connector = w.controller.local_connector(w.backend)
    w.volume(A).connect(connector, attached_host=this_host(), id=C)


def attached(w: World) -> None:
    volume(w)
    w.volume(A).attach()


def attached_here(w: World) -> None:
    connected_here(w)
    w.controller.connection(C).attach()


def mirrored(w: World) -> None:
    volume(w)
    w.write_copy(w.volume(A).start_migration(OTHER), A)


def existing(w: World) -> None:
    volume(w)
    w.make_existing("existing")


def dumped(w: World) -> None:
    """Two volumes whose records are only in the file of a dump."""
    two(w)
    found = [w.volume(A), w.volume(B)]
    lines = map(serialization.to_line, w.controller.documents(found))
    (w.root / "dump").write_bytes(b"".join(lines))
    for each in found:
        each.unmanage()


def two(w: World) -> None:
    volume(w)
    w.make_volume(B, name="second")


def two_attached(w: World) -> None:
    two(w)
    w.volume(A).attach()


def grouped(w: World) -> None:
    two_attached(w)
    w.backend.create_group("pair", [w.volume(A), w.volume(B)], id=GROUP)


def grouped_alone(w: World) -> None:
    two(w)
    w.backend.create_group("pair", [w.volume(A)], id=GROUP)


def grouped_unused(w: World) -> None:
    two(w)
    w.backend.create_group("pair", [w.volume(A), w.volume(B)], id=GROUP)


def grouped_encrypted(w: World) -> None:
    for id in (A, B):
        w.make_volume(id, encryption={"provider": "luks2"})
    w.backend.create_group("pair", [w.volume(A), w.volume(B)], id=GROUP)


def group_snapshot(w: World) -> None:
    grouped(w)
    group = w.controller.group(GROUP)
    group.create_snapshot("kept", id=GROUP_SNAPSHOT, one_after_another=True)


def lost_exports(w: World) -> None:
    """The storage was restarted."""
    shared_by_two(w)
    w.lose_exports()


def orphans(w: World) -> None:
    """A volume and a snapshot that only the storage has."""
    snapshot(w)
    w.make_volume(B)
    w.lose_record(SnapshotRecord, S)
    w.lose_record(VolumeRecord, B)


def missing(w: World) -> None:
    """A volume and a snapshot that only the store has."""
    snapshot(w)
    w.make_volume(B)
    w.lose_data(w.controller.snapshot(S))
    w.lose_data(w.volume(B))


def dangling_connection(w: World) -> None:
    connected(w)
    w.lose_record(VolumeRecord, A)


def dangling_snapshot(w: World) -> None:
    snapshot(w)
    w.lose_data(w.volume(A))
    w.lose_record(VolumeRecord, A)


def failed_connection(w: World) -> None:
    """A connect and the disconnect after it failed."""
    connected(w)
    w.change_record(ConnectionRecord, C, status="error_attaching", conn_info=None)


def inconsistent(w: World) -> None:
    """The status of a volume is that of a connected one."""
    volume(w)
    w.change_record(VolumeRecord, A, status="in-use", attach_status="attached")


def replicated(w: World) -> None:
    """A volume with a replica and one without."""
    w.make_volume(A, name="first", extra_specs={"replication_enabled": "<is> True"})
    w.make_volume(B, name="second")


def failed_over(w: World) -> None:
    replicated(w)
    w.backend.failover()


def replicated_group(w: World) -> None:
    for id, name in ((A, "first"), (B, "second")):
        w.make_volume(id, name=name, extra_specs={"replication_enabled": "<is> True"})
    w.volume(A).attach()
    members = [w.volume(A), w.volume(B)]
    specs = {"consistent_group_replication_enabled": "<is> True"}
    w.backend.create_group("pair", members, id=GROUP, group_specs=specs)


def enabled_group(w: World) -> None:
    replicated_group(w)
    w.controller.group(GROUP).enable_replication()


def failed_over_group(w: World) -> None:
    enabled_group(w)
    w.controller.group(GROUP).failover(allow_attached=True)


def frozen(w: World) -> None:
    replicated(w)
    w.backend.freeze()


# --- operations ----------------------------------------------------------------------------------


@scenario(nothing)
def create(w: World) -> Call:
    return lambda: w.backend.create_volume(1, id=A, name="new", metadata={"a": "1"})


@scenario(volume)
def clone(w: World) -> Call:
    return lambda: w.volume(A).clone(id=B, size=2)


@scenario(snapshot)
def create_from_snapshot(w: World) -> Call:
    return lambda: w.controller.snapshot(S).create_volume(id=B)


@scenario(volume)
def create_snapshot(w: World) -> Call:
    return lambda: w.volume(A).create_snapshot("new", id=S)


@scenario(attached)
def create_snapshot_of_attached(w: World) -> Call:
    return lambda: w.volume(A).create_snapshot("new", id=S)


@scenario(volume)
def extend(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.extend(2)


@scenario(attached)
def extend_attached(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.extend(2)


@scenario(typed)
def retype(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("thick")


@scenario(gold, driver="UnretypingDriver")
def retype_by_copying(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("gold", migrate=True)


@scenario(gold, driver="RefusingDriver")
def retype_by_copying_after_the_driver_refused(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("gold", migrate=True)


@scenario(gold, has_other=True)
def retype_by_copying_to_another_backend(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("gold", migrate=True, backend=OTHER)


def _encrypt(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("encrypted", migrate=True)


def _decrypt(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.retype("gold", migrate=True)


@scenario(to_encrypt, encrypted=True)
def retype_by_copying_to_encrypt(w: World) -> Call:
    return _encrypt(w)


@scenario(to_decrypt, encrypted=True)
def retype_by_copying_to_decrypt(w: World) -> Call:
    return _decrypt(w)


@scenario(to_encrypt, key_files=True)
def retype_by_copying_to_encrypt_with_key_files(w: World) -> Call:
    return _encrypt(w)


@scenario(to_decrypt, key_files=True)
def retype_by_copying_to_decrypt_with_key_files(w: World) -> Call:
    return _decrypt(w)


@scenario(typed)
def delete_type(w: World) -> Call:
    return lambda: w.controller.delete_type("unused")


@scenario(typed)
def create_with_type(w: World) -> Call:
    return lambda: w.backend.create_volume(1, id=B, name="new", type="thick")


@scenario(changed_since_snapshot)
def revert(w: World) -> Call:
    found, to = w.volume(A), w.controller.snapshot(S)
    return lambda: found.revert_to_snapshot(to)


@scenario(changed_since_snapshot)
def revert_copied(w: World) -> Call:
    found, to = w.volume(A), w.controller.snapshot(S)
    return lambda: found.revert_to_snapshot(to, by_copy=True)


@scenario(volume)
def wipe(w: World) -> Call:
    return w.volume(A).wipe


@scenario(exported)
def apply_stream(w: World) -> Call:
    found, stream = w.volume(A), w.root / "stream"
    return lambda: found.apply_stream(io.BytesIO(stream.read_bytes()))


@scenario(volume, has_other=True)
def migrate(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.migrate(OTHER)


@scenario(volume, has_other=True)
def migrate_by_copying(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.migrate(OTHER, by_copy=True)


@scenario(volume, driver="NamingDriver", has_other=True)
def migrate_by_copying_without_renaming(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.migrate(OTHER)


@scenario(volume, has_other=True)
def start_migration(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.start_migration(OTHER)


@scenario(mirrored, has_other=True)
def finish_migration(w: World) -> Call:
    return w.volume(A).finish_migration


@scenario(mirrored, has_other=True)
def cancel_migration(w: World) -> Call:
    return w.volume(A).cancel_migration


@scenario(existing, ["existing", f"volume-{B}"])
def manage(w: World) -> Call:
    reference = {"source-name": "existing"}
    return lambda: w.backend.manage_volume(reference, id=B, name="managed", metadata={"a": "1"})


@scenario(existing, ["existing", f"snapshot-{S}"])
def manage_snapshot(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.manage_snapshot({"source-name": "existing"}, id=S, name="managed")


@scenario(volume)
def connect(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.connect(w.connector("first"), attached_host="first")


@scenario(shared)
def connect_second_host(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.connect(w.connector("second"), attached_host="second")


@scenario(connected)
def connect_while_migrating(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.connect(w.connector("second"), attached_host="second", migrating=True)


@scenario(attached)
def detach_by_force(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.detach(force=True)


@scenario(snapshot)
def connect_snapshot(w: World) -> Call:
    found = w.controller.snapshot(S)
    return lambda: found.connect(w.connector("first"), attached_host="first")


@scenario(volume)
def save(w: World) -> Call:
    found = w.volume(A)
    found.name = "renamed"
    found.metadata["b"] = "2"
    return found.save


@scenario(snapshot)
def load_and_save(w: World) -> Call:
    document = w.volume(A).dump
    document["volume"]["name"] = "loaded"
    return lambda: w.controller.load(document, save=True)


@scenario(dumped, [f"volume-{A}", f"volume-{B}"], loads=True)
def load_many(w: World) -> Call:
    with (w.root / "dump").open("rb") as file:
        items = list(storefile.read(file))
    return lambda: storefile.load(w.controller, items)


@scenario(nothing)
def register_node(w: World) -> Call:
    return lambda: w.controller.register_node("node-1", {"host": "node-1"})


@scenario(two_attached)
def create_group(w: World) -> Call:
    found = [w.volume(A), w.volume(B)]
    return lambda: w.backend.create_group("new", found, id=GROUP)


@scenario(grouped_alone)
def change_group(w: World) -> Call:
    found, new = w.controller.group(GROUP), w.volume(B)
    return lambda: found.add(new)


@scenario(grouped_unused)
def delete_group_with_volumes(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.delete(volumes=True)


@scenario(grouped_unused, driver="UngroupedDriver")
def delete_kept_group_with_volumes(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.delete(volumes=True)


@scenario(grouped)
def create_group_snapshot(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.create_snapshot("new", id=GROUP_SNAPSHOT)


@scenario(grouped, driver="UngroupedDriver")
def create_group_snapshot_one_after_another(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.create_snapshot("new", id=GROUP_SNAPSHOT, one_after_another=True)


@scenario(group_snapshot)
def create_group_from_snapshot(w: World) -> Call:
    found = w.controller.group_snapshot(GROUP_SNAPSHOT)
    return lambda: found.create_group("copy", id=GROUP_COPY)


@scenario(group_snapshot, driver="SequentialDriver")
def create_group_from_each_snapshot(w: World) -> Call:
    found = w.controller.group_snapshot(GROUP_SNAPSHOT)
    return lambda: found.create_group("copy", id=GROUP_COPY)


@scenario(grouped)
def clone_group(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.clone("copy", id=GROUP_COPY)


@scenario(grouped, driver="UngroupedDriver")
def clone_group_one_after_another(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.clone("copy", id=GROUP_COPY, one_after_another=True)


@scenario(replicated, driver="ReplicatedDriver")
def failover(w: World) -> Call:
    return w.backend.failover


@scenario(failed_over, driver="ReplicatedDriver")
def failback(w: World) -> Call:
    return w.backend.failback


@scenario(enabled_group, driver="ReplicatedDriver")
def fail_over_group(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.failover(allow_attached=True)


@scenario(failed_over_group, driver="ReplicatedDriver")
def fail_back_group(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.failback(allow_attached=True)


@scenario(failed_over, driver="ReplicatedDriver")
def connect_replica(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.connect(w.connector("first"), attached_host="first")


@scenario(replicated, driver="ReplicatedDriver")
def freeze(w: World) -> Call:
    return w.backend.freeze


@scenario(frozen, driver="ReplicatedDriver")
def thaw(w: World) -> Call:
    return w.backend.thaw


def _group(w: World) -> Any:
    return w.controller.group(GROUP)


def _group_snapshot(w: World) -> Any:
    return w.controller.group_snapshot(GROUP_SNAPSHOT)


method("delete group", grouped, _group, "delete")
method(
    "enable group replication",
    *(replicated_group, _group, "enable_replication"),
    driver="ReplicatedDriver",
)
method(
    "disable group replication",
    *(enabled_group, _group, "disable_replication"),
    driver="ReplicatedDriver",
)
method("delete group snapshot", group_snapshot, _group_snapshot, "delete")
method(
    "delete group snapshot one after another",
    *(group_snapshot, _group_snapshot, "delete"),
    driver="UngroupedDriver",
)


def _reconcile(w: World, **arguments: Any) -> Call:
    def call() -> None:
        for each in w.backend.reconcile(**arguments):
            if each.outcome == "failed":
                raise errors.CinderlibError(each.reason)

    return call


@scenario(lost_exports, repairs=True)
def restore_exports(w: World) -> Call:
    return w.backend.restore_exports


@scenario(orphans, repairs=True)
def remove_orphans(w: World) -> Call:
    return _reconcile(w, remove=[B, S])


@scenario(missing, repairs=True)
def remove_missing(w: World) -> Call:
    return _reconcile(w, remove=[B, S])


@scenario(dangling_connection, [f"volume-{A}"], repairs=True)
def remove_dangling_connection(w: World) -> Call:
    return _reconcile(w, remove=[C])


@scenario(dangling_snapshot, repairs=True)
def remove_dangling_snapshot(w: World) -> Call:
    return _reconcile(w, remove=[S])


@scenario(failed_connection, repairs=True)
def repair_failed_connection(w: World) -> Call:
    return _reconcile(w, repair=True)


@scenario(inconsistent, repairs=True)
def repair_status(w: World) -> Call:
    return _reconcile(w, repair=True)


method("delete volume", volume, _volume, "delete")
method("delete snapshot", snapshot, _snapshot, "delete")
method("unmanage", volume, _volume, "unmanage", unmanaged=[f"volume-{A}"])
method("unmanage snapshot", snapshot, _snapshot, "unmanage", unmanaged=[f"snapshot-{S}"])
method("disconnect after migrating", migrating, _connection, "disconnect")
method("disconnect", connected, _connection, "disconnect")
method("disconnect second host", shared_by_two, _connection, "disconnect")
method("attach", volume, _volume, "attach")
method("attach again", attached, _volume, "attach")
method("detach", attached, _volume, "detach")
method("attach connection", connected_here, _connection, "attach")
method("detach connection", attached_here, _connection, "detach")
method("disconnect snapshot", connected_snapshot, _connection, "disconnect")
method("attach snapshot", snapshot, _snapshot, "attach")
method("detach snapshot", attached_snapshot, _snapshot, "detach")
method("attach copied snapshot", snapshot, _snapshot, "attach", driver="CopyingDriver")
method("detach copied snapshot", attached_snapshot, _snapshot, "detach", driver="CopyingDriver")

method("detach limited", attached_limited, _volume, "detach")


@scenario(limited)
def attach_limited(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.attach(cgroup=str(w.cgroup))


@scenario(attached_unlimited)
def limit_attached(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.attach(cgroup=str(w.cgroup))


method("attach encrypted", encrypted, _volume, "attach", encrypted=True)
method("attach encrypted again", encrypted_attached, _volume, "attach", encrypted=True)
method("detach encrypted", encrypted_attached, _volume, "detach", encrypted=True)


@scenario(encrypted, encrypted=True)
def clone_encrypted(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.clone(id=B)


@scenario(nothing, key_files=True)
def create_with_key_file(w: World) -> Call:
    return lambda: w.backend.create_volume(1, id=A, encryption={"provider": "luks2"})


method("delete with key file", encrypted_unused, _volume, "delete", key_files=True)


method("attach with key file", encrypted, _volume, "attach", key_files=True)


@scenario(encrypted_unused, key_files=True)
def clone_with_key_file(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.clone(id=B)


@scenario(encrypted_unused, has_other=True, key_files=True)
def migrate_by_copying_with_key_file(w: World) -> Call:
    found = w.volume(A)
    return lambda: found.migrate(OTHER, by_copy=True)


@scenario(grouped_encrypted, key_files=True)
def delete_group_with_key_files(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.delete(volumes=True)


@scenario(grouped_encrypted, key_files=True)
def clone_group_with_key_files(w: World) -> Call:
    found = w.controller.group(GROUP)
    return lambda: found.clone("copy", id=GROUP_COPY)
