"""Names of new volumes and snapshots, and verbs for several resources."""

from __future__ import annotations

import json

import pytest
from cli.command import Command

from cinderlib import records


def test_a_name_is_not_used_twice_by_mistake(cinderlib: Command) -> None:
    first = cinderlib("volume", "create", "data", "1GiB").line
    create = ("volume", "create", "data", "1GiB")
    refused = cinderlib(*create, ends=4)
    assert "--if-not-exists" in refused.stderr
    assert first in refused.stderr
    assert len(cinderlib.files) == 1
    again = cinderlib(*create, "--if-not-exists", "--json").json
    assert (again["id"], again["changed"]) == (first, False)
    other = cinderlib("volume", "create", "data", "2GiB", "--if-not-exists", ends=4)
    assert "size" in other.stderr
    second = cinderlib(*create, "--allow-duplicate").line
    ambiguous = cinderlib("volume", "show", "data", ends=2).stderr
    assert f"{first}  data, 1 GiB, available, " in ambiguous
    assert second in ambiguous
    assert " old" in ambiguous
    error = json.loads(cinderlib("volume", "show", "data", "-o", "yaml", ends=2).stderr)
    assert len(error["error"]["notes"]) == 2


@pytest.mark.slow
def test_names_of_copies_and_snapshots(cinderlib: Command) -> None:
    for name in ("one", "two"):
        cinderlib("volume", "create", name, "1GiB")
    assert "already exists" in cinderlib("volume", "clone", "one", "two", ends=4).stderr
    snapshot = cinderlib("snapshot", "create", "one", "daily").line
    cinderlib("snapshot", "create", "two", "daily")
    refused = cinderlib("snapshot", "create", "one", "daily", ends=4)
    assert "of volume one" in refused.stderr
    again = cinderlib("snapshot", "create", "one", "daily", "--if-not-exists")
    assert again.line == snapshot
    restored = ("volume", "create", "restored", "--snapshot", snapshot)
    id = cinderlib(*restored).line
    assert cinderlib(*restored, "--if-not-exists").line == id
    differs = cinderlib("volume", "clone", "two", "restored", "--if-not-exists", ends=4)
    assert "source_volid" in differs.stderr
    both = cinderlib(*restored, "--if-not-exists", "--id", records.new_id(), ends=2)
    assert "--id" in both.stderr


def test_an_error_does_not_keep_a_verb_from_the_other_volumes(cinderlib: Command) -> None:
    for name in ("m1", "m2", "m3"):
        cinderlib("volume", "create", name, "1GiB")
    cinderlib("snapshot", "create", "m2", "monday")
    done = cinderlib("volume", "delete", "m1", "m2", "m4", "m3", "--yes", ends=5)
    assert "Deleted volume m1." in done.stderr
    assert "Deleted volume m3." in done.stderr
    assert "without volume m2" in done.stderr
    assert "m4" in done.stderr
    assert cinderlib("volume", "list", "-o", "name").line == "m2"
    done = cinderlib("volume", "delete", "m2", "m1", "--yes", "--json", ends=5)
    (result,) = done.json
    assert (result["name"], result["changed"]) == ("m2", False)
    assert result["error"]["code"] == "FAILED_PRECONDITION"
    planned = cinderlib("volume", "delete", "m2", "--cascade", "--dry-run", "--json").json
    assert "1 snapshot: monday" in planned["planned"]
    done = cinderlib("volume", "delete", "m2", "--cascade", "--yes")
    assert "Deleted snapshot monday." in done.stderr
    assert cinderlib.files == []
    assert "m2" in cinderlib("volume", "delete", "m2", "--yes", ends=3).stderr


def test_name_description_and_metadata_can_be_changed(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB", "--metadata", "a=1").line
    cinderlib("volume", "create", "logs", "1GiB")
    changed = cinderlib(
        *("volume", "set", "data", "--metadata", "b=2", "--description", "of the shop"),
        *("--bootable", "--json"),
    ).json
    assert changed["metadata"] == {"a": "1", "b": "2"}
    assert (changed["bootable"], changed["changed"]) == (True, True)
    assert "no change" in cinderlib("volume", "set", "data", "--metadata", "b=2").stderr
    cinderlib("volume", "unset", "data", "--metadata", "a", "--metadata", "never")
    refused = cinderlib("volume", "rename", "data", "logs", ends=4).stderr
    assert "logs already exists" in refused
    assert "--if-not-exists" not in refused
    cinderlib("volume", "rename", "data", "shop")
    cinderlib("volume", "rename", "shop", "shop")
    shown = cinderlib("volume", "show", "shop", "--json").json
    assert (shown["id"], shown["metadata"]) == (id, {"b": "2"})
    assert shown["description"] == "of the shop"
    cinderlib("volume", "set", "shop", ends=2)
    cinderlib("snapshot", "create", "shop", "monday")
    cinderlib("snapshot", "set", "monday", "--name", "tuesday", "--metadata", "a=1")
    cinderlib("snapshot", "unset", "tuesday", "--metadata", "a")
    assert cinderlib("snapshot", "show", "tuesday", "--json").json["metadata"] == {}


def test_short_names_help_and_version(cinderlib: Command) -> None:
    cinderlib("vol", "create", "data", "1GiB")
    assert cinderlib("vol", "ls", "-o", "name").line == "data"
    assert cinderlib("snap", "ls").stdout == ""
    assert "SIZE, for example 10GiB" in cinderlib("help", "vol", "create").stdout
    assert "Unknown command 'nothing'" in cinderlib("help", "volume", "nothing", ends=2).stderr
    assert "cinderlib volume create --help" in cinderlib("vol", "create", ends=2).stderr
    assert cinderlib("version", "--json").json["output"] == 1
    assert "complete" in cinderlib("completion", "bash").stdout
    cinderlib("vol", "rm", "data", "--yes")
    assert cinderlib.files == []
