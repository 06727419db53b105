"""The store, by command."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest
from cli.command import Command


@pytest.fixture
def filled(cinderlib: Command) -> Command:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("snapshot", "create", "data", "monday")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    cinderlib("volume", "connect", "data", "--connector", "-", input=properties)
    cinderlib("node", "register", "here", "--protocol", "local")
    return cinderlib


def contents(cinderlib: Command) -> dict[str, object]:
    nouns = ("volume", "snapshot", "connection")
    listed = {noun: cinderlib(noun, "list", "--json").json for noun in nouns}
    for records in listed.values():
        for record in records:
            del record["version"], record["updated_at"]
    return listed


def elsewhere(cinderlib: Command) -> str:
    """Configure another store; gives its URL."""
    url = f"sqlite:///{cinderlib.folder}/other.sqlite"
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(f'{text}\n[store]\nconnection = "{url}"\n')
    return url


def test_a_dump_is_loaded_into_another_store(filled: Command) -> None:
    before = contents(filled)
    file = filled.folder / "dump"
    assert (
        "1 volume, 1 snapshot, 1 connection, 1 key-value"
        in filled("store", "dump", str(file)).stderr
    )
    assert file.stat().st_mode & 0o777 == 0o600
    filled("store", "dump", str(file), ends=4)

    elsewhere(filled)
    assert contents(filled)["volume"] == []
    assert "Would load 1 volume" in filled("store", "load", str(file), "--dry-run").stderr
    assert contents(filled)["volume"] == []
    filled("store", "load", str(file))
    assert contents(filled) == before
    again = filled("store", "load", str(file), "--json").json
    assert again == {"volumes": 0, "snapshots": 0, "connections": 0, "key_values": 0, "kept": 2}
    filled("volume", "connect", "data", "--node", "here")


def test_a_dump_with_a_bad_line_loads_nothing(filled: Command) -> None:
    dumped = filled("store", "dump").stdout
    elsewhere(filled)
    for bad in ("{}", '{"class": "KeyValue"}', "no json", '{"class": "KeyValue", "key": 1}'):
        refused = filled("store", "load", "-", input=f"{dumped}{bad}\n", ends=2)
        assert "Line 3" in refused.stderr
    assert contents(filled)["volume"] == []


def test_records_that_are_there_are_written_over_only_when_asked(filled: Command) -> None:
    line, *rest = filled("store", "dump").stdout.splitlines()
    document = json.loads(line)
    document["volume"]["description"] = "of the dump"
    text = "\n".join([json.dumps(document), *rest])
    filled("store", "load", "-", input=text)
    show = ("volume", "show", "data", "--json")
    assert filled(*show).json["description"] == ""
    assert "--yes" in filled("store", "load", "-", "--overwrite", input=text, ends=2).stderr
    filled("store", "load", "-", "--overwrite", "--yes", input=text)
    assert filled(*show).json["description"] == "of the dump"


def test_migrate_copies_everything_to_an_empty_store(filled: Command) -> None:
    before = contents(filled)
    target = filled.folder / "new.toml"
    url = f"sqlite:///{filled.folder}/other.sqlite"
    target.write_text(f'[store]\nconnection = "{url}"\n')
    filled("store", "migrate", str(target), ends=2)
    filled("store", "migrate", str(target), "--dry-run")
    filled("store", "migrate", str(target), "--yes")
    assert "4 records" in filled("store", "migrate", url, "--yes", ends=4).stderr
    elsewhere(filled)
    assert contents(filled) == before


CINDERLIB5 = pathlib.Path(__file__).parents[1] / "data" / "cinderlib5" / "cinderlib5.sqlite"


def test_a_database_of_cinderlib_5_is_taken_over(cinderlib: Command) -> None:
    """Made by cinderlib 5.2.0 itself: five volumes on two backends."""
    database = cinderlib.folder / "old.sqlite"
    shutil.copy(CINDERLIB5, database)
    before = database.read_bytes()
    source = cinderlib.folder / "old.toml"
    source.write_text(f'[store]\nconnection = "sqlite:///{database}"\n')
    says = "5 volumes, 2 snapshots, 2 connections, 1 key-value"
    assert says in cinderlib("store", "import", str(source), "--dry-run").stderr
    assert says in cinderlib("store", "import", str(source)).stderr
    assert cinderlib("store", "import", str(source), "--json").json["kept"] == 6
    assert database.read_bytes() == before

    rich = cinderlib("volume", "show", "rich", "--json").json
    assert rich["extra_specs"] == {"thin": "<is> True", "tier": "gold"}
    assert rich["qos_specs"] == {"maxIOPS": "100"}
    assert rich["metadata"] == {"app": "db", "made_by": "driver"}
    assert (rich["status"], rich["size"], rich["multiattach"]) == ("in-use", 3, True)
    assert rich["description"] == "with everything, ünicode too"
    assert [item["name"] for item in rich["snapshots"]] == ["snap-1", "snap-2"]
    used, unused = rich["connections"]
    assert (used["attached_host"], used["use_multipath"]) == ("compute-1", True)
    assert used["device"] == "***"
    assert unused["device"] is None
    assert unused["connector"]["host"] == "compute-2"
    document = cinderlib("connection", "show", used["id"], "--document").json
    assert document["conn"]["data"]["auth_password"] == "chapsecret"
    assert document["device"]["path"] == "/dev/dm-3"
    restored = cinderlib("volume", "show", "restored", "--json").json
    assert restored["snapshot_id"] == rich["snapshots"][0]["id"]
    assert {row[-1] for row in cinderlib("volume", "list", "--name", "foreign").rows} == {"other"}


def test_a_taken_over_volume_works(cinderlib: Command) -> None:
    """Its backend has the same name; what it is on the storage follows from its id."""
    text = cinderlib.config.read_text().replace("backends.files", "backends.other")
    cinderlib.config.write_text(text)
    cinderlib("store", "import", f"sqlite:///{CINDERLIB5}")
    foreign = cinderlib("volume", "show", "foreign", "--json").json["id"]
    cinderlib("volume", "create", "stands-in", "2GiB")
    (made,) = cinderlib.volumes.glob("volume-*")
    made.rename(made.with_name(f"volume-{foreign}"))
    cinderlib("snapshot", "create", "foreign", "s")
    cinderlib("volume", "clone", "foreign", "copy")
    cinderlib("volume", "extend", "foreign", "3GiB")
    cinderlib("volume", "attach", "foreign")
    cinderlib("volume", "detach", "foreign")
    cinderlib("snapshot", "delete", "s", "--yes")
    cinderlib("volume", "delete", "foreign", "copy", "--yes")
    assert cinderlib.files == []


@pytest.mark.parametrize("source", ["nonsense", "sqlite:////nowhere/at-all.sqlite", "gone.toml"])
def test_what_is_no_database_of_cinderlib_5(cinderlib: Command, source: str) -> None:
    assert cinderlib("store", "import", source, ends=2).stderr.startswith("Error: ")
    empty = cinderlib.folder / "empty.sqlite"
    empty.touch()
    refused = cinderlib("store", "import", f"sqlite:///{empty}", ends=2)
    assert "no database of cinderlib 5" in refused.stderr
