"""The commands for volumes, snapshots, connections and this host."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
from cli.command import COMMAND, Command

from cinderlib import records
from cinderlib.locking import process_identity
from cinderlib.persistence.base import Put
from cinderlib.persistence.sql import SQLStore
from cinderlib.records import replace


def test_lifecycle_of_a_volume(cinderlib: Command) -> None:
    made = cinderlib("volume", "create", "data", "1.5GiB", "--metadata", "for=tests")
    assert "2 GiB" in made.stderr
    assert cinderlib("volume", "list").rows == [
        [made.line, "data", "2", "GiB", "available", "files"]
    ]

    device = cinderlib("volume", "attach", "data").line
    with open(device, "r+b") as file:
        file.write(b"written")
    assert [row[0] for row in cinderlib("node", "list").rows] == [device]
    cinderlib("snapshot", "create", "data", "monday")
    cinderlib("volume", "detach", "data")

    copy = cinderlib("volume", "create", "copy", "--snapshot", "monday").line
    cinderlib("volume", "clone", made.line[:8], "other", "3GiB")
    cinderlib("volume", "extend", "copy", "4GiB")
    shown = cinderlib("volume", "show", "copy", "--json").json
    assert (shown["id"], shown["size"]) == (copy, 4)
    assert cinderlib("volume", "show", "data", "--json").json["metadata"] == {"for": "tests"}
    (on_disk,) = [p for p in cinderlib.volumes.iterdir() if copy in p.name]
    with on_disk.open("rb") as file:
        assert file.read(7) == b"written"

    refused = cinderlib("volume", "delete", "data", "--yes", ends=5)
    assert "snapshot" in refused.stderr
    cinderlib("snapshot", "delete", "monday", "--yes")
    cinderlib("volume", "delete", "data", "copy", "other", "--yes")
    assert cinderlib("volume", "list").stdout == ""
    assert cinderlib.files == []


@pytest.mark.slow
def test_revert_to_a_snapshot(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    (on_disk,) = [p for p in cinderlib.volumes.iterdir() if p.name.startswith("volume-")]
    on_disk.write_bytes(b"before")
    os.truncate(on_disk, 2**30)
    cinderlib("snapshot", "create", "data", "monday")
    with on_disk.open("r+b") as file:
        file.write(b"after!")

    assert "written after it" in cinderlib("snapshot", "revert", "monday", ends=2).stderr
    assert (
        "Would revert volume data" in cinderlib("snapshot", "revert", "monday", "--dry-run").stderr
    )
    assert on_disk.read_bytes()[:6] == b"after!"
    cinderlib("snapshot", "revert", "monday", "--yes")
    assert on_disk.read_bytes()[:6] == b"before"

    cinderlib("volume", "attach", "data")
    assert "in-use" in cinderlib("snapshot", "revert", "monday", "--yes", ends=5).stderr
    cinderlib("volume", "detach", "data")
    done = cinderlib("snapshot", "revert", "monday", "--yes", "--json").json
    assert (done["name"], done["status"], done["changed"]) == ("data", "available", True)


def test_create_with_an_id_is_idempotent(cinderlib: Command) -> None:
    id = records.new_id()
    create = ("volume", "create", "x", "1", "--id", id)
    assert cinderlib(*create, "--json").json["changed"] is True
    again = cinderlib(*create, "--json").json
    assert (again["id"], again["changed"]) == (id, False)
    other = cinderlib("volume", "create", "x", "2", "--id", id, ends=4)
    assert "size" in other.stderr


def test_delete_requires_confirmation(cinderlib: Command) -> None:
    cinderlib("volume", "create", "kept", "1GiB")
    refused = cinderlib("volume", "delete", "kept", ends=2)
    assert "--yes" in refused.stderr
    assert "Would delete volume kept" in cinderlib("volume", "delete", "kept", "--dry-run").stderr
    assert len(cinderlib.files) == 1


def test_force_requires_confirmation(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data").line
    (connection,) = cinderlib("connection", "list", "--json").json
    for arguments in (
        ("volume", "detach", "data"),
        ("volume", "disconnect", "data"),
        ("connection", "disconnect", connection["id"]),
        ("node", "detach", device),
    ):
        assert "--yes" in cinderlib(*arguments, "--force", ends=2).stderr
    assert [row[0] for row in cinderlib("node", "list").rows] == [device]
    refused = cinderlib("volume", "disconnect", "data", ends=5)
    assert "detach it" in refused.stderr
    cinderlib("volume", "detach", "data", "--force", "--yes")
    assert cinderlib("node", "list").stdout == ""


def test_names_and_id_prefixes(cinderlib: Command) -> None:
    ids = ["abc00000-0000-4000-8000-000000000001", "abc10000-0000-4000-8000-000000000002"]
    for id in ids:
        cinderlib("volume", "create", "same", "1", "--id", id, "--allow-duplicate")
    several = cinderlib("volume", "show", "same", ends=2)
    assert all(id in several.stderr for id in ids)
    assert "2 volumes" in cinderlib("volume", "show", "abc", ends=2).stderr
    assert cinderlib("volume", "show", "ABC1", "--json").json["id"] == ids[1]
    assert "'nothing'" in cinderlib("volume", "show", "nothing", ends=3).stderr


def test_the_pipe_from_host_to_host(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    document = cinderlib("volume", "connect", "data", "--connector", "-", input=properties).stdout
    device = cinderlib("node", "attach", "-", input=document).line
    assert pathlib.Path(device).exists()

    (connection,) = cinderlib("connection", "list", "--json").json
    assert connection["id"] == json.loads(document)["id"]
    cinderlib("volume", "disconnect", "data", "--host", "another", ends=3)
    assert len(cinderlib("connection", "list", "--json").json) == 1

    cinderlib("node", "detach", connection["id"][:8])
    assert cinderlib("node", "list").stdout == ""
    cinderlib("connection", "disconnect", connection["id"])
    assert cinderlib("connection", "list").stdout == ""
    cinderlib("volume", "delete", "data", "--yes")


def test_a_second_user_of_a_volume_that_migrates(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    connect = ("volume", "connect", "data", "--connector", "-", "--instance")
    first = cinderlib(*connect, "one", input=properties).json
    assert "migrating" in cinderlib(*connect, "two", input=properties, ends=5).stderr
    cinderlib(*connect, "two", "--migrating", input=properties)
    cinderlib("connection", "disconnect", first["id"])
    assert len(cinderlib("connection", "list", "--json").json) == 1


def test_a_registered_host_is_connected_by_its_name(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("node", "register", "worker-1", "--protocol", "local")
    cinderlib("volume", "connect", "data", "--node", "worker-1")
    assert len(cinderlib("connection", "list").rows) == 1
    missing = cinderlib("volume", "connect", "data", "--node", "worker-2", ends=3)
    assert "cinderlib node register worker-2" in missing.stderr


@pytest.mark.parametrize("document", ["", "not json", "[]", "{}", '{"conn": {}}'])
def test_invalid_documents_are_refused_without_showing_them(
    cinderlib: Command, document: str
) -> None:
    refused = cinderlib("node", "attach", "-", input=document, ends=2)
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) <= 2


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(cinderlib: Command) -> None:
    (cinderlib.folder / "state").mkdir()
    store = SQLStore(f"sqlite:///{cinderlib.folder}/state/metadata.sqlite")
    name = "\x1b[31mred\x07"
    store.apply(Put(records.VolumeRecord(id="1", backend="b", size=1, host="h@b#p", name=name)))
    store.close()
    assert "\x1b" not in cinderlib("volume", "list").stdout
    assert cinderlib("volume", "list", "--json").json[0]["name"] == name


_KILLED = """
import json, os, signal, sys
from cinderlib.node import Node
from cinderlib.node.local import LocalConnector
LocalConnector.protect = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Node(state_path=sys.argv[1]).attach(json.load(sys.stdin))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)
def test_leftovers_of_a_killed_attach(cinderlib: Command) -> None:
    assert "no leftovers" in cinderlib("node", "leftovers").stderr
    cinderlib("volume", "create", "data", "1GiB")
    connector = cinderlib("node", "connector", "--protocol", "local").stdout
    document = cinderlib("volume", "connect", "data", "--connector", "-", input=connector).stdout
    subprocess.run(
        [sys.executable, "-c", _KILLED, str(cinderlib.folder / "state" / "node")],
        input=document,
        text=True,
        check=False,
    )
    (left,) = cinderlib("node", "leftovers", "--json").json
    assert left["connection_id"] == json.loads(document)["id"]
    assert left["device"] in cinderlib("node", "leftovers").stdout
    assert left["device"] in cinderlib("node", "cleanup", "--dry-run").stderr
    assert "--yes" in cinderlib("node", "cleanup", ends=2).stderr
    assert cinderlib("node", "cleanup", "--yes", "--json").json == [left]
    assert "No leftovers to remove" in cinderlib("node", "cleanup", "--yes").stderr
    assert cinderlib("node", "leftovers", "--json").json == []


def test_the_host_detects_an_extended_volume(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data").line
    grown = cinderlib("volume", "extend", "data", "2GiB", "--json").json
    assert grown["size"] == 2
    assert cinderlib("node", "extend", device).line == str(2 * 1024**3)
    cinderlib("volume", "detach", "data")
    assert cinderlib("node", "extend", device, ends=3).stdout == ""


@pytest.mark.parametrize("setting", ["recover = true", "recover = false"])
def test_recover_settles_operations_interrupted_by_a_crash(
    cinderlib: Command, setting: str
) -> None:
    """It reports them even if loading the backend has already settled them."""
    cinderlib("volume", "create", "there", "1GiB")
    store = SQLStore(f"sqlite:///{cinderlib.folder}/state/metadata.sqlite")
    (volume,) = store.find(records.VolumeRecord)
    here = process_identity.this_process()
    intent = records.IntentRecord(
        id=records.new_id(),
        operation="volume.delete",
        backend="files",
        resource_id=volume.id,
        lock=f"volume:{volume.id}",
        owner=replace(here, boot_id="before-the-reboot"),
    )
    store.apply(Put(replace(volume, status="deleting")), Put(intent))
    store.close()
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(text.replace("[controller]", f"[controller]\n{setting}"))
    (row,) = cinderlib("recover").rows
    assert row == ["volume.delete", volume.id, "files", "finished"]
    assert cinderlib("recover", "--json").json == []
    assert (cinderlib("volume", "list").stdout, cinderlib.files) == ("", [])


def test_destructive_commands_do_not_accept_id_prefixes(cinderlib: Command) -> None:
    id = "db1e0000-0000-4000-8000-000000000001"
    cinderlib("volume", "create", "db1", "1GiB")
    cinderlib("volume", "create", "customers", "1GiB", "--id", id)
    snapshot = cinderlib("snapshot", "create", "customers", "monday").line
    cinderlib("volume", "delete", "db1", "--yes")
    for given in ("db1", "db1e0000", id[:-1]):
        for arguments in (
            ("volume", "delete", given, "--yes"),
            ("volume", "detach", given, "--force", "--yes"),
            ("volume", "disconnect", given),
            ("volume", "disconnect", given, "--force", "--yes"),
        ):
            refused = cinderlib(*arguments, ends=3)
            assert f"the ID {id} begins with it" in refused.stderr
    for verb in ("delete", "revert"):
        cinderlib("snapshot", verb, snapshot[:12], "--yes", ends=3)
    assert cinderlib("volume", "show", "db1", "--json").json["id"] == id
    cinderlib("snapshot", "delete", snapshot, "--yes")
    cinderlib("volume", "delete", id, "--yes")


def test_a_volume_whose_name_is_the_id_of_its_source(
    cinderlib: Command,
) -> None:
    origin = cinderlib("volume", "create", "data", "1GiB").line
    cinderlib("volume", "clone", "data", origin)
    cinderlib("volume", "delete", origin, "--yes")
    assert "by its ID" in cinderlib("volume", "delete", origin, "--yes", ends=3).stderr
    assert len(cinderlib("volume", "list").rows) == 1


def test_a_volume_specified_twice_is_deleted_once(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    done = cinderlib("volume", "delete", "data", id, "--yes", "--json")
    assert done.json == [{"id": id, "name": "data", "changed": True}]


def test_disconnect_of_an_unconnected_host_lists_the_connected_hosts(
    cinderlib: Command,
) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    cinderlib("volume", "connect", "data", "--connector", "-", input=properties)
    host = json.loads(properties)["host"]
    refused = cinderlib("volume", "disconnect", "data", "--host", "WRONG", ends=3)
    assert "'WRONG'" in refused.stderr
    assert host in refused.stderr
    assert len(cinderlib("connection", "list").rows) == 1
    for _ in range(2):
        cinderlib("volume", "disconnect", "data", "--host", host)
    assert cinderlib("connection", "list").stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        "volume create data 1 --id ''",
        "volume create '' 1",
        "volume create data 1 --backend ''",
        "volume create data 1 --pool ''",
        "volume create data --snapshot ''",
        "volume clone data ''",
        "volume list --backend ''",
        "volume list --status ''",
        "volume list --name ''",
        "volume disconnect data --host ''",
        "volume delete data '' --yes",
        "snapshot create data monday --id ''",
        "node detach ''",
        "reconcile '' --repair",
        "reconcile --remove '' --yes",
        "--config '' volume list",
        "volume list --config ''",
    ],
)
def test_empty_arguments_are_refused(cinderlib: Command, arguments: str) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    assert "empty" in cinderlib(*shlex.split(arguments), ends=2).stderr
    assert [row[1] for row in cinderlib("volume", "list").rows] == ["data"]


@pytest.mark.parametrize("arguments", ["create z 0", "clone data z 0", "extend data 0"])
def test_a_size_of_zero_is_refused(cinderlib: Command, arguments: str) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    assert "above 0" in cinderlib("volume", *arguments.split(), ends=2).stderr
    assert [row[1] for row in cinderlib("volume", "list").rows] == ["data"]


@pytest.mark.alone(reason="a service continues the operation")
def test_recover_settles_operations_interrupted_by_control_c(cinderlib: Command) -> None:
    text = cinderlib.config.read_text()
    slow = text.replace('"file"', '"cli.slow_driver.SlowDriver"')
    cinderlib.config.write_text(slow)
    cinderlib("volume", "create", "data", "1GiB")
    gate = cinderlib.folder / "gate"
    process = subprocess.Popen(
        [*COMMAND, "volume", "clone", "data", "copy"],
        env={
            **os.environ,
            **cinderlib.environment,
            "GATE": str(gate),
            "PYTHONPATH": str(pathlib.Path(__file__).parents[1]),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    while not gate.with_suffix(".reached").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "`cinderlib recover` settles" in errors
    (row,) = cinderlib("recover").rows
    assert (row[0], row[2:]) == ("volume.create", ["files", "undone"])
    assert [volume["name"] for volume in cinderlib("volume", "list", "--json").json] == ["data"]
    assert len(cinderlib.files) == 1


def test_errors_show_the_name_that_was_typed(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    cinderlib("snapshot", "create", "data", "monday")
    refused = cinderlib("volume", "delete", "data", "--yes", ends=5).stderr
    assert f"Volume data ({id[:8]}) cannot be deleted" in refused
    assert "--cascade" in refused
    assert id not in refused
    as_json = json.loads(cinderlib("volume", "delete", "data", "--yes", "--json", ends=5).stderr)
    assert id in as_json["error"]["message"]
    cinderlib("volume", "delete", "data", "--yes", "--cascade")
