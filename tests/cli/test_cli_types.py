"""Volume types on the command line."""

from __future__ import annotations

from cli.command import Command


def test_types_from_their_creation_to_their_deletion(cinderlib: Command) -> None:
    thick = ("--extra-spec", "provisioning:type=thick")
    id = cinderlib("type", "create", "thick", *thick, "--qos-spec", "consumer=both").line
    assert cinderlib("type", "create", "thick", *thick, "--qos-spec", "consumer=both").line == id
    (listed,) = cinderlib("type", "list", "--json").json
    assert (listed["name"], listed["qos_consumer"]) == ("thick", "both")
    volume = cinderlib("volume", "create", "data", "1GiB", "--type", "thick", "--json").json
    assert (volume["type_name"], volume["volume_type_id"]) == ("thick", id)
    refused = cinderlib("type", "delete", "thick", ends=5)
    assert "it is the type of data" in refused.stderr
    changed = cinderlib(
        "type", "unset", "thick", "--extra-spec", "provisioning:type", "--json"
    ).json
    assert (changed["extra_specs"], changed["changed"]) == ({}, True)
    retyped = cinderlib("volume", "retype", "data", "thick", "--json").json
    assert (retyped["extra_specs"], retyped["changed"]) == ({}, True)
    cinderlib("type", "set", "thick", "--description", "none any more")
    assert cinderlib("type", "show", "thick", "--json").json["description"] == "none any more"
    cinderlib("volume", "retype", "data", "thick", "--no-type", ends=2)
    cinderlib("volume", "retype", "data", "--no-type")
    cinderlib("type", "delete", "thick")
    assert cinderlib("type", "list", "--json").json == []
    assert "does not exist" in cinderlib("type", "show", "thick", ends=3).stderr


def test_retype_by_a_copy(cinderlib: Command) -> None:
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
    cinderlib("type", "create", "gold", "--extra-spec", "tier=gold")
    cinderlib("type", "create", "secret", "--encryption", "provider=luks2")
    id = cinderlib("volume", "create", "data", "1GiB", "--backend", "files").line
    refused = cinderlib("volume", "retype", "data", "secret", ends=7)
    assert "cinderlib volume retype --migrate" in " ".join(refused.stderr.split())
    to = ("--migrate", "--backend", "others")
    moved = cinderlib("volume", "retype", "data", "gold", *to, "--json").json
    assert (moved["id"], moved["backend"], moved["type_name"]) == (id, "others", "gold")
    assert list(cinderlib.volumes.iterdir()) == []
    assert "no change" in cinderlib("volume", "retype", "data", "gold", *to).stderr
    assert "need --migrate" in cinderlib("volume", "retype", "data", "gold", *to[1:], ends=2).stderr
    cinderlib("snapshot", "create", "data", "monday")
    back = ("--migrate", "--backend", "files")
    refused = cinderlib("volume", "retype", "data", "gold", *back, ends=5)
    assert "it has snapshots" in refused.stderr
