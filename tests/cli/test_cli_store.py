"""The store, by command."""

from __future__ import annotations

import json

import pytest
from cli.command import Command


@pytest.fixture
def filled(cinderlib: Command) -> Command:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("snapshot", "create", "data", "monday")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    cinderlib("volume", "connect", "data", "--connector", "-", input=properties)
    cinderlib("node", "register", "here")
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
