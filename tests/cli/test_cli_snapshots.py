"""Snapshots that are attached and connected with the command."""

import json

import pytest
from cli.command import Command


def test_a_snapshot_is_attached_and_detached(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1")
    cinderlib("snapshot", "create", "data", "monday")
    attached = cinderlib("snapshot", "attach", "monday", "--json").json
    assert (attached["changed"], attached["attach_mode"]) == (True, "ro")
    with open(attached["path"], "rb") as device:
        assert device.read(1) == b"\0"
    again = cinderlib("snapshot", "attach", "monday")
    assert again.line == attached["path"]
    assert "already attached" in again.stderr
    (temporary,) = [
        each for each in cinderlib("volume", "list", "--json").json if each["name"] != "data"
    ]
    assert temporary["name"].startswith("attached-snapshot-")
    assert (
        "Detach the snapshot"
        in cinderlib("snapshot", "delete", "monday", "--yes", ends=None).stderr
    )
    detached = cinderlib("snapshot", "detach", "monday", "--json").json
    assert (detached["name"], detached["changed"]) == ("monday", True)
    assert [each["name"] for each in cinderlib("volume", "list", "--json").json] == ["data"]
    assert cinderlib("snapshot", "detach", "monday", "--json").json["changed"] is False


def test_a_snapshot_is_connected_to_a_host(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1")
    cinderlib("snapshot", "create", "data", "monday")
    connector = cinderlib("node", "connector").stdout
    document = json.loads(
        cinderlib("snapshot", "connect", "monday", "--connector", "-", input=connector).stdout
    )
    assert document["conn"]["data"]["access_mode"] == "ro"
    (connection,) = cinderlib("connection", "list", "--json").json
    cinderlib("connection", "disconnect", connection["id"])
    assert [each["name"] for each in cinderlib("volume", "list", "--json").json] == ["data"]


@pytest.mark.slow
def test_a_volume_is_reverted_by_a_copy(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1")
    for name in ("monday", "tuesday"):
        path = cinderlib("volume", "attach", "data").line
        with open(path, "r+b") as device:
            device.write(name.encode())
        cinderlib("volume", "detach", "data")
        cinderlib("snapshot", "create", "data", name)
    reverted = cinderlib("snapshot", "revert", "monday", "--by-copy", "--yes", "--json").json
    assert (reverted["status"], reverted["changed"]) == ("available", True)
    names = [each["name"] for each in cinderlib("snapshot", "list", "--json").json]
    assert names == ["monday", "tuesday"]
    path = cinderlib("volume", "attach", "data").line
    with open(path, "rb") as device:
        assert device.read(6) == b"monday"
    cinderlib("volume", "detach", "data")
