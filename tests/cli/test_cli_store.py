"""``cinderlib store``."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sqlite3

import pytest
from cli.command import Command

from cinderlib.persistence.sql.columns import VERSION

pytestmark = pytest.mark.alone(reason="store always reads the store itself")


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
    """Configure another store. Returns its URL."""
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


def test_a_dump_has_groups_and_group_snapshots(cinderlib: Command) -> None:
    for name in ("data", "log"):
        cinderlib("volume", "create", name, "1GiB")
    cinderlib("group", "create", "database", "data", "log")
    cinderlib("group", "snapshot", "create", "database", "monday")
    dumped = cinderlib("store", "dump").stdout

    elsewhere(cinderlib)
    counts = cinderlib("store", "load", "-", "--json", input=dumped).json
    assert (counts["volumes"], counts["snapshots"], counts["key_values"]) == (2, 2, 2)
    assert cinderlib("group", "show", "database", "--json").json["volumes"] == ["data", "log"]
    assert "it is in group database" in cinderlib("volume", "delete", "log", "-y", ends=5).stderr
    cinderlib("group", "snapshot", "delete", "monday", "-y")
    cinderlib("group", "delete", "database", "--volumes", "-y")
    assert contents(cinderlib) == {"volume": [], "snapshot": [], "connection": []}


def test_many_volumes_are_loaded_together_and_existing_ones_stay(cinderlib: Command) -> None:
    for name in ("one", "two", "three"):
        cinderlib("volume", "create", name, "1GiB")
    dumped = cinderlib("store", "dump").stdout
    elsewhere(cinderlib)
    cinderlib("store", "load", "-", input=dumped.splitlines()[1])
    loaded = cinderlib("store", "load", "-", "--json", input=dumped).json
    assert (loaded["volumes"], loaded["kept"]) == (2, 1)
    for file in cinderlib.folder.glob("other.sqlite*"):
        if file.is_file():
            file.unlink()
    loaded = cinderlib("store", "load", "-", "--json", input=dumped).json
    assert (loaded["volumes"], loaded["kept"]) == (3, 0)
    assert sorted(cinderlib("volume", "list", "-o", "name").stdout.split()) == [
        "one", "three", "two"
    ]  # fmt: skip
    loaded_ids = [each["id"] for each in cinderlib("volume", "list", "--json").json]
    # One record for all, so that a large dump does not replace the earlier operations.
    for asked in ([], ["two"], [loaded_ids[2][:8]]):
        (done,) = cinderlib("log", *asked, "--json").json
        assert (done["operation"], done["name"], done.get("resource_id")) == (
            "volume.load", "3 volumes", None
        )  # fmt: skip
        assert sorted(done["arguments"]["ids"]) == sorted(loaded_ids)
    assert "3 volumes" in cinderlib("log").stdout


def test_a_dump_with_an_invalid_line_is_not_loaded(filled: Command) -> None:
    dumped = filled("store", "dump").stdout
    elsewhere(filled)
    long = json.dumps({"class": "KeyValue", "key": "k" * 256, "value": None})
    half = json.dumps({"class": "KeyValue", "key": "k", "value": "\ud800"})
    document = json.loads(dumped.splitlines()[0])
    other = {**document, "volume": {**document["volume"], "id": "vm-1", "name": "other"}}
    del other["snapshots"], other["connections"]
    for bad, reason in (
        ("{}", "backend"),
        ("no json", "not valid"),
        ('{"class": "KeyValue"}', "key-value"),
        ('{"class": "KeyValue", "key": 1}', "key-value"),
        ('{"class": "KeyValue", "key": "", "value": null}', "cannot be stored"),
        (long, "256 characters"),
        (half, "UnicodeEncodeError"),
        (json.dumps({**document, "connections": 1}), "connections"),
        (json.dumps(other), "expected a UUID"),
    ):
        refused = filled("store", "load", "-", input=f"{dumped}{bad}\n", ends=2)
        assert "Line 3: " in refused.stderr
        assert reason in refused.stderr
    assert contents(filled)["volume"] == []
    text = filled.config.read_text()
    filled.config.write_text(text.replace("[controller]\n", "[controller]\nnon_uuid_ids = true\n"))
    loaded = filled("store", "load", "-", input=f"{dumped}{json.dumps(other)}\n").stderr
    assert "Loaded 2 volumes" in loaded


def test_existing_records_are_overwritten_only_on_request(filled: Command) -> None:
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


def test_an_emptied_store_that_has_its_history_is_a_target(cinderlib: Command) -> None:
    """The histories of both stores are in the target."""
    old = f"sqlite:///{cinderlib.folder}/state/metadata.sqlite"
    cinderlib("volume", "create", "before", "1GiB")
    cinderlib("volume", "delete", "before", "--yes")
    url = elsewhere(cinderlib)
    cinderlib("volume", "create", "data", "1GiB")
    migrated = cinderlib("store", "migrate", old, "--yes", "--json").json
    assert (migrated["volume"], migrated["operation"]) == (1, 1)
    assert cinderlib("store", "migrate", url, "--yes", ends=4)
    cinderlib.config.write_text(cinderlib.config.read_text().replace(url, old))
    assert [volume["name"] for volume in cinderlib("volume", "list", "--json").json] == ["data"]
    names = [item["name"] for item in cinderlib("log", "--json").json]
    assert sorted(names) == ["before", "before", "data"]


def configured(cinderlib: Command, keys: str) -> None:
    """Configure ``encryption_keys`` for the store."""
    kept = cinderlib.config.read_text().partition("\n[store]")[0]
    cinderlib.config.write_text(f"{kept}\n[store]\nencryption_keys = {keys}\n")


def raw(cinderlib: Command, text: str) -> int:
    """The number of times that a text occurs in the files of the store."""
    files = (cinderlib.folder / "state").glob("metadata.sqlite*")
    return sum(file.read_bytes().count(text.encode()) for file in files)


def test_secrets_are_encrypted_and_their_key_is_rotated(
    filled: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(filled)
    file = str(filled.volumes)  # the path of the volume is part of the connection
    assert raw(filled, f"{file}/volume-") > 0
    assert "encryption_keys" in filled("store", "rotate", ends=2).stderr

    old, new = (filled("store", "generate-key").line for _ in range(2))
    assert filled("store", "generate-key", "--json").json["key"] not in (old, new)
    (filled.folder / "keys").write_text(f"{old}\n")
    configured(filled, '{ file = "keys" }')
    assert "Encrypted 2 records" in filled("store", "rotate").stderr
    assert raw(filled, f"{file}/volume-") == 0

    monkeypatch.setenv("NEW", new)
    configured(filled, '[{ env = "NEW" }, { file = "keys" }]')
    shown = filled("config", "show").stdout
    assert 'encryption_keys = [{ env = "NEW" }, { file = "keys" }]' in shown
    assert contents(filled) == before
    assert filled("store", "rotate", "--json").json == {"encrypted": 2, "current": 0, "failed": 0}
    configured(filled, '{ env = "NEW" }')
    assert "2 already used it" in filled("store", "rotate").stderr
    assert contents(filled) == before
    filled("volume", "connect", "data", "--node", "here")


@pytest.mark.parametrize("keys", ["another", "none"])
def test_listings_work_without_the_key_but_secrets_are_not_available(
    filled: Command, keys: str
) -> None:
    key = filled("store", "generate-key").line
    configured(filled, f'"{key}"')
    filled("store", "rotate")
    before = contents(filled)
    if keys == "another":
        configured(filled, f'"{filled("store", "generate-key").line}"')
        assert "2 records" in filled("store", "rotate", ends=5).stderr
    else:
        text = filled.config.read_text()
        filled.config.write_text(text.partition("\n[store]")[0])
    after = contents(filled)
    for hidden in [*after["volume"], *after["connection"]]:  # type: ignore[misc]
        assert hidden.pop("protocol") == hidden.pop("file_format", "***") == "***"
        hidden.pop("qos_specs", None)
    for known in [*before["volume"], *before["connection"]]:  # type: ignore[misc]
        del known["protocol"], known["qos_specs"]
        assert known.pop("file_format", "raw") == "raw"
    assert after == before
    connection = before["connection"][0]["id"]  # type: ignore[index]
    assert "data" in filled("volume", "list").stdout
    for arguments in (("volume", "show", "data"), ("connection", "list")):
        assert connection in filled(*arguments).stdout
    assert "***" in filled("connection", "show", connection).stdout
    for arguments in (("connection", "show", connection, "--document"), ("store", "dump")):
        refused = filled(*arguments, ends=5).stderr
        assert "encryption_keys" in refused
        assert key not in refused


def test_keys_are_not_shown_and_readable_key_files_cause_a_warning(cinderlib: Command) -> None:
    key = cinderlib("store", "generate-key").line
    configured(cinderlib, f'"{key}"')
    assert key not in cinderlib("config", "show").stdout
    cinderlib.config.chmod(0o644)
    warned = cinderlib("config", "check").stdout
    assert "encryption_keys is a secret" in " ".join(warned.split())
    configured(cinderlib, '"no key"')
    refused = " ".join(cinderlib("config", "check", ends=2).stdout.split())
    assert "generate-key" in refused
    configured(cinderlib, '{ env = "NOWHERE" }')
    assert "variable NOWHERE is not set" in cinderlib("volume", "list", ends=2).stderr


def test_migration_to_a_store_with_other_keys(filled: Command) -> None:
    before = contents(filled)
    target = filled.folder / "new.toml"
    key = filled("store", "generate-key").line
    new = filled.folder / "other.sqlite"
    target.write_text(f'[store]\nconnection = "sqlite:///{new}"\nencryption_keys = "{key}"\n')
    filled("store", "migrate", str(target), "--yes")
    assert raw(filled, f"{filled.volumes}/volume-") > 0
    assert f"{filled.volumes}/volume-".encode() not in new.read_bytes()
    filled.config.write_text(f"{filled.config.read_text()}\n{target.read_text()}")
    assert contents(filled) == before


def test_upgrade_reports_both_versions(cinderlib: Command) -> None:
    store = cinderlib.folder / "state" / "metadata.sqlite"
    assert "Would create the tables" in cinderlib("store", "upgrade", "--dry-run").stderr
    assert not store.exists()
    created = cinderlib("store", "upgrade").stderr
    assert f"Created the tables with schema version {VERSION}" in created
    assert store.exists()
    for more in ([], ["--dry-run"]):
        done = cinderlib("store", "upgrade", *more)
        assert f"already version {VERSION}; nothing to do" in done.stderr
    current = {"from": VERSION, "to": VERSION, "changed": False}
    assert cinderlib("store", "upgrade", "--json").json == current
    cinderlib.config.write_text('[store]\nstorage = "json:Store"\n')
    assert "'db'" in cinderlib("store", "upgrade", ends=2).stderr


def test_upgrade_refuses_a_store_that_requires_a_newer_version(cinderlib: Command) -> None:
    cinderlib("store", "upgrade")
    newer = VERSION + 1
    with sqlite3.connect(cinderlib.folder / "state" / "metadata.sqlite") as other:
        other.execute("UPDATE cinderlib_schema SET version = ?", (newer,))
    current = {"from": newer, "to": newer, "changed": False}
    assert cinderlib("store", "upgrade", "--json").json == current
    with sqlite3.connect(cinderlib.folder / "state" / "metadata.sqlite") as other:
        other.execute("UPDATE cinderlib_schema SET min_reader = ?", (newer,))
    for more in ([], ["--dry-run"]):
        assert "Upgrade cinderlib" in cinderlib("store", "upgrade", *more, ends=8).stderr


CINDERLIB5 = pathlib.Path(__file__).parents[1] / "data" / "cinderlib5" / "cinderlib5.sqlite"


def test_import_of_a_database_of_cinderlib_5(cinderlib: Command) -> None:
    """The database was created by cinderlib 5.2.0: five volumes on two backends."""
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
    assert "device" not in unused
    assert unused["connector"]["host"] == "compute-2"
    document = cinderlib("connection", "show", used["id"], "--document").json
    assert document["conn"]["data"]["auth_password"] == "chapsecret"
    assert document["device"]["path"] == "/dev/dm-3"
    restored = cinderlib("volume", "show", "restored", "--json").json
    assert restored["snapshot_id"] == rich["snapshots"][0]["id"]
    assert {row[-1] for row in cinderlib("volume", "list", "--name", "foreign").rows} == {"other"}


def test_an_imported_volume_is_usable(cinderlib: Command) -> None:
    """Its backend has the same name, and its name on the storage derives from its ID."""
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


def test_an_imported_volume_with_snapshots_and_connections_is_usable(cinderlib: Command) -> None:
    """It is connected to two hosts and has two snapshots."""
    text = cinderlib.config.read_text().replace("backends.files", "backends.array")
    cinderlib.config.write_text(text)
    cinderlib("store", "import", f"sqlite:///{CINDERLIB5}")
    rich = cinderlib("volume", "show", "rich", "--json").json
    cinderlib("volume", "create", "stands-in", "3GiB")
    (made,) = cinderlib.volumes.glob("volume-*")
    for snapshot in rich["snapshots"]:
        stands_in = made.with_name(f"snapshot-{snapshot['id']}")
        stands_in.touch()
        os.truncate(stands_in, made.stat().st_size)
    made.rename(made.with_name(f"volume-{rich['id']}"))

    cinderlib("volume", "create", "of-before", "--snapshot", "snap-1")
    refused = cinderlib("volume", "delete", "rich", "--yes", ends=5)
    assert "compute-1, compute-2" in refused.stderr
    cinderlib("volume", "disconnect", "rich", "--host", "compute-2")
    assert cinderlib("volume", "show", "rich", "--json").json["status"] == "in-use"
    cinderlib("volume", "disconnect", "rich", "--host", "compute-1")
    assert cinderlib("volume", "show", "rich", "--json").json["status"] == "available"
    cinderlib("snapshot", "delete", "snap-1", "snap-2", "--yes")
    cinderlib("volume", "delete", "rich", "of-before", "--yes")
    assert cinderlib.files == []


def test_import_of_the_resources_of_ember_csi(cinderlib: Command) -> None:
    text = cinderlib.config.read_text()
    keys = 'keys = "' + "A" * 43 + '="'
    cinderlib.config.write_text(f'{text}\n[csi]\nname = "lvm.ember-csi.io"\n{keys}\n')
    source = str(CINDERLIB5.with_name("ember.json"))
    expected = "5 volumes, 2 snapshots"
    assert expected in cinderlib("store", "import", source, "--dry-run").stderr
    assert cinderlib("volume", "list", "--json").json == []
    assert expected in cinderlib("store", "import", source).stderr
    assert cinderlib("store", "import", source, "--json").json["kept"] == 5
    rich = cinderlib("volume", "show", "rich", "--json").json
    assert rich["metadata"]["csi:driver"] == "lvm.ember-csi.io"
    assert (rich["metadata"]["csi:name"], rich["metadata"]["app"]) == ("rich", "db")
    assert (rich["extra_specs"], rich["connections"]) == ({"thin": "<is> True", "tier": "gold"}, [])
    assert [each["name"] for each in rich["snapshots"]] == ["snap-1", "snap-2"]
    assert "cannot be read" in cinderlib("store", "import", "gone.json", ends=2).stderr


@pytest.mark.parametrize("source", ["nonsense", "sqlite:////nowhere/at-all.sqlite", "gone.toml"])
def test_databases_that_are_not_of_cinderlib_5(cinderlib: Command, source: str) -> None:
    assert cinderlib("store", "import", source, ends=2).stderr.startswith("Error: ")
    empty = cinderlib.folder / "empty.sqlite"
    empty.touch()
    refused = cinderlib("store", "import", f"sqlite:///{empty}", ends=2)
    assert "not a database of cinderlib 5" in refused.stderr


def test_a_damaged_record_is_repaired_from_a_dump(cinderlib: Command) -> None:
    damaged = cinderlib("volume", "create", "one", "1GiB").line
    cinderlib("volume", "create", "two", "1GiB")
    backup, partial = (
        str(cinderlib.folder / "backup.jsonl"),
        str(cinderlib.folder / "partial.jsonl"),
    )
    cinderlib("store", "dump", backup)
    (path,) = cinderlib.folder.glob("state/*.sqlite")
    with sqlite3.connect(path) as store:
        store.execute("UPDATE cinderlib_volume SET document = '{' WHERE name = 'one'")
    store.close()
    assert [row[1] for row in cinderlib("volume", "list").rows] == ["two"]
    shown = cinderlib("volume", "show", damaged, ends=10)
    assert shown.stderr.startswith(f"Error: The volume '{damaged}' in the store cannot be read")
    run = cinderlib("store", "dump", partial, ends=10)
    assert "The dump is incomplete" in run.stderr
    assert damaged in run.stderr
    found = cinderlib("reconcile", "--json", ends=1).json
    assert [(each["problem"], each["resource_id"]) for each in found] == [("damaged", damaged)]
    cinderlib("store", "load", backup)
    assert {row[1] for row in cinderlib("volume", "list").rows} == {"one", "two"}
    cinderlib("reconcile")
