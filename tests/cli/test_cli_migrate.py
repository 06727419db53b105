"""Migrations on the command line."""

from __future__ import annotations

from cli.command import Command


def two_backends(cinderlib: Command) -> None:
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"

        [backends.files]
        volume_driver = "file"
        file_root = "{cinderlib.volumes}"

        [backends.others]
        volume_driver = "file"
        file_root = "{cinderlib.folder}/others"
        """
    )


def test_volume_is_migrated_to_another_backend_and_back(cinderlib: Command) -> None:
    two_backends(cinderlib)
    id = cinderlib("volume", "create", "data", "1GiB", "--backend", "files").line
    done = cinderlib("volume", "migrate", "data", "--backend", "others")
    assert "Migrated volume data to backend others, pool others." in done.stderr
    again = cinderlib("volume", "migrate", "data", "--backend", "others")
    assert "already on backend others" in again.stderr
    again = cinderlib("volume", "migrate", "data", "--backend", "others", "--json")
    assert (again.json["id"], again.json["changed"]) == (id, False)
    back = cinderlib("volume", "migrate", "data", "--backend", "files", "--by-copy", "--json")
    assert (back.json["id"], back.json["backend"], back.json["changed"]) == (id, "files", True)
    assert [file.name for file in cinderlib.volumes.iterdir()] == [f"volume-{id}"]
    assert list((cinderlib.folder / "others").iterdir()) == []


def test_hypervisor_copies_the_data(cinderlib: Command) -> None:
    two_backends(cinderlib)
    id = cinderlib("volume", "create", "data", "1GiB", "--backend", "files").line
    copy = cinderlib("volume", "migrate", "data", "--backend", "others", "--start").line
    assert cinderlib("volume", "migrate", "data", "--backend", "others", "--start").line == copy
    cancelled = cinderlib("volume", "migrate", "data", "--cancel")
    assert "stays on backend files" in cancelled.stderr
    assert "not being migrated" in cinderlib("volume", "migrate", "data", "--finish").stderr
    cinderlib("volume", "migrate", "data", "--backend", "others", "--start")
    assert "to backend others" in cinderlib("volume", "migrate", "data", "--finish").stderr
    assert [row[0] for row in cinderlib("volume", "list", "--columns", "id").rows] == [id]
    for wrong in (["--finish", "--pool", "x"], ["--start"], ["--cancel", "--by-copy"]):
        cinderlib("volume", "migrate", "data", *wrong, ends=2)


def test_migration_that_is_impossible_changes_nothing(cinderlib: Command) -> None:
    two_backends(cinderlib)
    cinderlib("volume", "create", "data", "1GiB", "--backend", "files")
    cinderlib("snapshot", "create", "data", "monday")
    refused = cinderlib("volume", "migrate", "data", "--backend", "others", ends=5)
    assert "it has snapshots" in refused.stderr
    refused = cinderlib("volume", "migrate", "data", "--pool", "none", ends=2)
    assert "has no pool 'none'" in refused.stderr
    assert "Specify --backend or --pool" in cinderlib("volume", "migrate", "data", ends=2).stderr
    shown = cinderlib("volume", "show", "data", "--json").json
    assert (shown["backend"], shown["status"]) == ("files", "available")
