"""Groups and group snapshots on the command line."""

from __future__ import annotations

from cli.command import Command


def test_groups_from_their_creation_to_their_deletion(cinderlib: Command) -> None:
    for name in ("data", "log", "more"):
        cinderlib("volume", "create", name, "1GiB")
    id = cinderlib("group", "create", "database", "data", "log").line
    assert cinderlib("group", "create", "database", "data", "log", "--id", id).line == id
    (listed,) = cinderlib("group", "list", "--json").json
    assert (listed["name"], listed["volumes"]) == ("database", ["data", "log"])
    added = cinderlib("group", "add", "database", "more", "--json").json
    assert (added["volumes"], added["changed"]) == (["data", "log", "more"], True)
    again = cinderlib("group", "add", id[:8], "more", "--json").json
    assert again["changed"] is False
    assert cinderlib("group", "remove", "database", "more", "--json").json["changed"] is True
    assert "d, l" not in cinderlib("group", "show", "database").stdout
    refused = cinderlib("volume", "delete", "data", "-y", ends=5)
    assert "it is in group database" in refused.stderr
    assert "--cascade" not in refused.stderr

    taken = cinderlib("group", "snapshot", "create", "database", "monday", "--json").json
    assert (taken["consistent"], taken["snapshots"], taken["group"]) == (True, 2, "database")
    (shown,) = cinderlib("group", "snapshot", "list", "--group", "database", "--json").json
    assert shown["id"] == taken["id"]
    assert cinderlib("group", "snapshot", "show", "monday", "--json").json["name"] == "monday"
    alone = cinderlib("snapshot", "delete", taken["snapshot_ids"][0], "-y", ends=5)
    assert "belongs to group snapshot monday" in alone.stderr
    assert "has 1 group snapshot" in cinderlib("group", "delete", id, "-y", ends=5).stderr
    cinderlib("group", "snapshot", "delete", "monday", "--dry-run")
    (deleted,) = cinderlib("group", "snapshot", "delete", "monday", "-y", "--json").json
    assert (deleted["name"], deleted["changed"]) == ("monday", True)
    assert cinderlib("snapshot", "list", "--json").json == []

    assert (
        "and all their volumes"
        in cinderlib("group", "delete", "database", "--volumes", "--dry-run").stderr
    )
    cinderlib("group", "delete", "database", "--volumes", "-y")
    assert [each["name"] for each in cinderlib("volume", "list", "--json").json] == ["more"]
    assert "No group has" in cinderlib("group", "show", "database", ends=3).stderr


def test_groups_are_copied(cinderlib: Command) -> None:
    for name in ("data", "log"):
        cinderlib("volume", "create", name, "1GiB")
    source = cinderlib("group", "create", "database", "data", "log").line
    taken = cinderlib("group", "snapshot", "create", "database", "monday").line
    copy = cinderlib("group", "create", "test", "--snapshot", "monday", "--json").json
    assert (copy["volumes"], copy["changed"]) == (["test-data", "test-log"], True)
    assert copy["group_snapshot_id"] == taken
    again = cinderlib("group", "create", "test", "--snapshot", "monday", "--id", copy["id"])
    assert "nothing changed" in again.stderr
    refused = cinderlib("group", "create", "other", "data", "--snapshot", "monday", ends=2)
    assert "cannot be combined with --snapshot" in refused.stderr
    clone = cinderlib("group", "clone", "database", "clone", "--description", "d", "--json").json
    assert (clone["volumes"], clone["description"]) == (["clone-data", "clone-log"], "d")
    assert clone["source_group_id"] == source
    cinderlib("group", "delete", "clone", "test", "--volumes", "-y")
    assert "No group has" in cinderlib("group", "clone", "clone", "new", ends=3).stderr
    left = {each["name"] for each in cinderlib("volume", "list", "--json").json}
    assert left == {"data", "log"}


def test_names_of_groups_and_their_copies_are_not_used_twice(cinderlib: Command) -> None:
    for name in ("data", "log"):
        cinderlib("volume", "create", name, "1GiB")
    create = ("group", "create", "database", "data", "log")
    id = cinderlib(*create, "--if-not-exists").line
    assert "Group database already exists on" in cinderlib(*create, ends=4).stderr
    assert cinderlib(*create, "--if-not-exists").line == id
    differs = cinderlib(*create[:-1], "--if-not-exists", ends=4).stderr
    assert "volume_ids" in differs
    second = cinderlib("group", "create", "database", "--allow-duplicate").line
    cinderlib("group", "delete", second, "-y")

    cinderlib("group", "snapshot", "create", "database", "monday")
    cinderlib("volume", "create", "test-log", "1GiB")
    before = cinderlib.files
    copies = (("group", "create", "test", "--snapshot", "monday"), ("group", "clone", id, "test"))
    for copy in copies:
        refused = cinderlib(*copy, ends=4).stderr
        assert "Volume test-log already exists on" in refused
        assert "--allow-duplicate" in refused
        assert "already exists" in cinderlib(*copy, "--if-not-exists", ends=4).stderr
    assert cinderlib.files == before
    assert [each["name"] for each in cinderlib("group", "list", "--json").json] == ["database"]
    made = cinderlib(*copies[0], "--allow-duplicate").line
    assert cinderlib(*copies[0], "--if-not-exists").line == made
    assert cinderlib(*copies[0], "--id", made).line == made
    differs = cinderlib(*copies[1], "--if-not-exists", ends=4).stderr
    assert f"Group test ({made[:8]}) already exists with different properties" in differs
    assert "source_group_id" in differs


def test_volumes_with_equal_names_are_copied_only_on_request(cinderlib: Command) -> None:
    ids = [cinderlib("volume", "create", "a", "1", "--allow-duplicate").line for _ in range(2)]
    cinderlib("group", "create", "pair", *ids)
    refused = cinderlib("group", "clone", "pair", "copy", ends=4)
    assert "Several volumes would have the name copy-a" in refused.stderr
    clone = cinderlib("group", "clone", "pair", "copy", "--allow-duplicate", "--json").json
    assert clone["volumes"] == ["copy-a", "copy-a"]
