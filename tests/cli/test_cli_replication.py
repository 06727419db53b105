"""The command fails over and freezes backends, and shows their state."""

from __future__ import annotations

import pytest
from cli.command import Command
from cli.test_cli_output import check

REPLICATED = ("--extra-spec", "replication_enabled=<is> True")


@pytest.fixture
def replicated(cinderlib: Command) -> Command:
    """A backend with a volume that has a replica, and one without."""
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"

        [backends.array]
        volume_driver = "api.replicated_array.ReplicatedArray"
        file_root = "{cinderlib.volumes}"
        replication_device = ["backend_id:second", "backend_id:third"]
        """
    )
    cinderlib("volume", "create", "kept", "1", *REPLICATED)
    cinderlib("volume", "create", "lost", "1")
    return cinderlib


def _shown(command: Command) -> object:
    return command("backend", "show", "--json").json["replication"]


def test_a_backend_whose_storage_is_lost_fails_over(replicated: Command) -> None:
    (replicated.volumes / ".lost").touch()
    done = replicated("backend", "failover", "--to", "second", "--yes")
    assert "Backend array uses second." in done.stderr
    assert replicated("volume", "show", "kept", "--json").json["status"] == "available"
    refused = replicated("backend", "failback", "--yes", ends=None)
    assert "Traceback" not in refused.stderr


def test_failover_and_failback(replicated: Command) -> None:
    before = {
        "replication_status": "enabled",
        "frozen": False,
        "targets": ["second", "third"],
    }
    assert _shown(replicated) == before
    assert "replication_device" not in replicated("backend", "show").stdout
    planned = replicated("backend", "failover", "--to", "second", "--dry-run")
    assert "Would fail over backend array to second" in planned.stderr
    assert "Add --yes to confirm" in replicated("backend", "failover", ends=None).stderr
    assert _shown(replicated) == before

    done = replicated("backend", "failover", "array", "--to", "second", "--yes")
    assert "Backend array uses second." in done.stderr
    assert _shown(replicated) == {
        **before,
        "replication_status": "failed-over",
        "active_backend_id": "second",
    }
    kept = replicated("volume", "show", "kept", "--json").json
    assert kept["replication_status"] == "failed-over"
    assert "failed-over" in replicated("volume", "show", "kept").stdout
    lost = replicated("volume", "show", "lost", "--json").json
    assert (lost["status"], lost["replication_extended_status"]) == ("error", "no-replica")
    again = replicated("backend", "failover", "--yes", "--json").json
    check(again, "replication")
    assert (again["changed"], again["active_backend_id"]) == (False, "second")
    (operation,) = [
        each for each in replicated("log", "--json").json if each["operation"] == "backend.failover"
    ]
    assert (operation["backend"], operation["outcome"]) == ("array", "done")

    done = replicated("backend", "failback", "--yes")
    assert "Backend array uses its own storage." in done.stderr
    assert _shown(replicated) == before
    assert replicated("volume", "show", "lost", "--json").json["status"] == "available"


def test_hosts_must_connect_again(replicated: Command) -> None:
    replicated("volume", "connect", "kept", "--connector", _connector(replicated))
    done = replicated("backend", "failover", "--yes")
    assert "1 volume connected: detach and attach" in done.stderr


def _connector(command: Command) -> str:
    file = command.folder / "connector.json"
    file.write_text('{"host": "a", "ip": "192.0.2.1", "initiator": "iqn.2026-11.org.example:a"}')
    return str(file)


def test_frozen_backend(replicated: Command) -> None:
    frozen = replicated("backend", "freeze", "--json").json
    check(frozen, "replication")
    assert (frozen["name"], frozen["frozen"], frozen["changed"]) == ("array", True, True)
    refused = replicated("volume", "create", "new", "1", ends=None)
    assert refused.exit_code != 0
    assert "is frozen" in refused.stderr
    assert "and is frozen; nothing changed" in replicated("backend", "freeze").stderr
    assert "uses its own storage." in replicated("backend", "thaw").stderr
    replicated("volume", "create", "new", "1")


def test_impossible_failover_is_refused(replicated: Command) -> None:
    unknown = replicated("backend", "failover", "--to", "fourth", "--yes", ends=None)
    assert "has no replication device 'fourth'. Its devices: second, third" in unknown.stderr
    replicated.write(
        f"""
        [controller]
        state_path = "{replicated.folder}/state"

        [backends.plain]
        volume_driver = "file"
        file_root = "{replicated.volumes}"
        """
    )
    without = replicated("backend", "failover", "--yes", ends=None)
    assert "Backend 'plain' has no replication" in without.stderr
    assert _shown(replicated) == {"replication_status": "disabled", "frozen": False, "targets": []}


@pytest.fixture
def group(cinderlib: Command) -> Command:
    """A backend with a group whose volumes have replicas."""
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"

        [backends.array]
        volume_driver = "api.replicated_groups.ReplicatedGroups"
        file_root = "{cinderlib.volumes}"
        replication_device = ["backend_id:second", "backend_id:third"]
        """
    )
    for name in ("data", "log"):
        cinderlib("volume", "create", name, "1", *REPLICATED)
    spec = "consistent_group_replication_enabled=<is> True"
    cinderlib("group", "create", "database", "data", "log", "--group-spec", spec)
    return cinderlib


def test_group_is_replicated_and_fails_over(group: Command) -> None:
    shown = group("group", "show", "database", "--json").json
    check(shown, "group")
    assert shown["replication_status"] == "disabled"
    assert shown["group_specs"] == {"consistent_group_replication_enabled": "<is> True"}
    done = group("group", "enable-replication", "database", "--json").json
    check(done, "group")
    assert (done["replication_status"], done["changed"]) == ("enabled", True)
    again = group("group", "enable-replication", "database")
    assert "its replication is enabled; nothing changed." in again.stderr

    failover = ("group", "failover", "database")
    planned = group(*failover, "--to", "second", "--dry-run")
    assert "Would fail over group database" in planned.stderr
    assert "Add --yes to confirm" in group(*failover, ends=None).stderr
    several = group(*failover, "--yes", ends=None)
    assert "Choose one for group database" in several.stderr
    done = group(*failover, "--to", "second", "--yes")
    assert "Group database" in done.stderr
    assert "uses second." in done.stderr
    listed = group("group", "list", "--columns", "name,replication_status").stdout
    assert "failed-over" in listed
    assert group("volume", "show", "log", "--json").json["replication_status"] == "failed-over"
    refused = group("group", "delete", "database", "--yes", ends=None)
    assert "Fail back first: `cinderlib group failback" in refused.stderr

    back = group("group", "failback", "database", "--yes", "--json").json
    assert (back["replication_status"], back["changed"]) == ("enabled", True)
    done = group("group", "disable-replication", "database")
    assert "its replication is disabled." in done.stderr
    operations = [each["operation"] for each in group("log", "--json").json]
    assert operations.count("group.failover") == 2
    group("group", "delete", "database", "--volumes", "--yes")


def test_attached_group_fails_over_only_on_request(group: Command) -> None:
    group("group", "enable-replication", "database")
    group("volume", "connect", "data", "--connector", _connector(group))
    failover = ("group", "failover", "database", "--to", "second", "--yes")
    refused = group(*failover, ends=None)
    assert "--allow-attached" in refused.stderr
    assert "uses second." in group(*failover, "--allow-attached").stderr


def test_specs_are_those_of_new_groups(group: Command) -> None:
    group("group", "snapshot", "create", "database", "monday")
    copy = ("group", "create", "copy", "--snapshot", "monday")
    refused = group(*copy, "--group-spec", "a=b", ends=2)
    assert "cannot be combined with --snapshot" in refused.stderr
    specs = group(*copy, "--json").json["group_specs"]
    assert specs == {"consistent_group_replication_enabled": "<is> True"}
