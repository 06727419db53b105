"""Existing volumes and snapshots on the command line."""

from __future__ import annotations

import json
import os

import pytest
from cli.command import Command


def test_existing_volume_gets_a_record_and_loses_it(cinderlib: Command) -> None:
    cinderlib("backend", "show")  # creates the folder
    disk = cinderlib.volumes / "disk.img"
    disk.write_bytes(b"data")
    os.truncate(disk, 3 << 29)
    assert cinderlib("volume", "manageable").rows == [["disk.img", "2", "GiB"]]
    id = cinderlib("volume", "manage", "disk.img", "web", "--metadata", "for=tests").line
    shown = cinderlib("volume", "show", "web", "--json").json
    assert (shown["id"], shown["size"], shown["metadata"]) == (id, 2, {"for": "tests"})
    assert shown["managed_from"] == {"source-name": "disk.img"}
    assert cinderlib("volume", "manageable").stdout == ""
    (listed,) = cinderlib("volume", "manageable", "--all", "--json").json
    assert (listed["resource_id"], listed["safe_to_manage"]) == (id, False)
    refused = cinderlib("volume", "manage", listed["name"], "other", ends=None)
    assert refused.exit_code
    assert f"already manages this as volume {id}" in refused.stderr
    unmanaged = cinderlib("volume", "unmanage", "web")
    assert listed["name"] in unmanaged.stderr
    reference = json.dumps({"source-name": listed["name"]})
    again = cinderlib("volume", "manage", reference, "web again").line
    (file,) = cinderlib.volumes.iterdir()
    assert again in file.name
    with file.open("rb") as data:
        assert data.read(4) == b"data"


@pytest.mark.slow
def test_existing_snapshot_gets_a_record_and_loses_it(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    id = cinderlib("snapshot", "create", "data", "monday").line
    refused = cinderlib("volume", "unmanage", "data", ends=5)
    assert "it has snapshots" in refused.stderr
    cinderlib("snapshot", "unmanage", "monday")
    (row,) = cinderlib("snapshot", "manageable").rows
    assert id in row[0]
    cinderlib("snapshot", "manage", "data", row[0], "tuesday")
    assert [row[1] for row in cinderlib("snapshot", "list").rows] == ["tuesday"]
    failed = cinderlib("snapshot", "unmanage", "tuesday", "nothing", "--json", ends=3)
    assert [each["name"] for each in failed.json] == ["tuesday"]
    assert "{" not in cinderlib("volume", "manage", "{x", "y", ends=2).stdout
