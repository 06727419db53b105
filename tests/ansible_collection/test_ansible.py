"""The Ansible collection, with the embedded driver."""

from __future__ import annotations

import base64
import importlib
import json
import os
import pathlib
import subprocess
import uuid
from typing import Any

import pytest
import yaml
from ansible_collection.playbook import COLLECTION, PROGRAMS, Play
from cli.command import Command

import cinderlib as cl
from cinderlib.node import loop

# Each task is a process that loads Cinder, which takes long on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODULES = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))


@pytest.mark.core
def test_tasks_are_idempotent(cinderlib: Command, play: Play) -> None:
    data = {"name": "data", "size": "1GiB", "metadata": {"owner": "postgres", "tier": 1}}
    monday = {"volume": "data", "name": "monday"}
    copy = {"name": "copy", "snapshot": "monday", "size": "2GiB"}
    attachment = {"volume": "copy"}
    absent = {"state": "absent"}
    made, again, grown, shrunk, taken, taken_again, copied, attached, attached_again, kept = play(
        ("volume", data),
        ("volume", data),
        ("volume", {"name": "data", "size": "1.5GiB", "metadata": {"tier": "2"}}),
        ("volume", {"name": "data", "size": "1GiB"}),
        ("snapshot", {**monday, "description": "before the upgrade"}),
        ("snapshot", monday),
        ("volume", copy),
        ("attachment", attachment),
        ("attachment", attachment),
        ("volume", {"name": "data", **absent}),
    )
    assert made["changed"]
    assert made["volume"]["status"] == "available"
    assert (again["changed"], again["volume"]["id"]) == (False, made["volume"]["id"])
    assert (grown["changed"], grown["volume"]["size"]) == (True, 2)
    assert grown["volume"]["metadata"] == {"owner": "postgres", "tier": "2"}
    assert shrunk["failed"]
    assert shrunk["msg"] == "Volume data has 2 GiB and cannot be made smaller (1GiB)"
    assert (taken["changed"], taken_again["changed"]) == (True, False)
    assert taken["snapshot"]["volume_id"] == made["volume"]["id"]
    assert (copied["changed"], copied["volume"]["size"]) == (True, 2)
    assert (attached["changed"], attached_again["changed"]) == (True, False)
    assert pathlib.Path(attached["path"]).exists()
    assert kept["failed"]
    assert "it has 1 snapshot(s)" in kept["msg"]

    detached, detached_again, snapshot_gone, copied_again, gone, gone_again = play(
        ("attachment", {**attachment, **absent}),
        ("attachment", {**attachment, **absent}),
        ("snapshot", {**monday, **absent}),
        # A copy does not change if its source is deleted.
        ("volume", copy),
        ("volume", {"name": "copy", **absent}),
        ("volume", {"name": "copy", **absent}),
    )
    assert (detached["changed"], detached_again["changed"]) == (True, False)
    assert (snapshot_gone["changed"], copied_again["changed"]) == (True, False)
    assert (gone["changed"], gone_again["changed"]) == (True, False)
    assert cinderlib.files == [f"volume-{made['volume']['id']}"]


def test_groups_are_replicated(cinderlib: Command, play: Play) -> None:
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"

        [backends.array]
        volume_driver = "api.replicated_groups.ReplicatedGroups"
        file_root = "{cinderlib.volumes}"
        replication_device = ["backend_id:second"]
        """
    )
    for name in ("data", "log"):
        cinderlib("volume", "create", name, "1", "--extra-spec", "replication_enabled=<is> True")
    group = {
        "name": "ledger",
        "volumes": ["data", "log"],
        "group_specs": {"consistent_group_replication_enabled": "<is> True"},
    }
    made, again, other, stopped, stopped_again, started = play(
        ("group", {**group, "replicated": True}),
        ("group", {**group, "replicated": True}),
        ("group", {**group, "group_specs": {"other": "1"}}),
        ("group", {"name": "ledger", "replicated": False}),
        ("group", {**group, "replicated": False}),
        ("group", {"name": "ledger", "replicated": True}),
    )
    assert (made["changed"], again["changed"]) == (True, False)
    assert made["group"]["replication_status"] == "enabled"
    assert other["failed"]
    assert (stopped["changed"], stopped_again["changed"]) == (True, False)
    assert stopped["group"]["replication_status"] == "disabled"
    assert started["group"]["replication_status"] == "enabled"


def test_groups_are_idempotent(cinderlib: Command, play: Play) -> None:
    for name in ("data", "log", "more"):
        cinderlib("volume", "create", name, "1GiB")
    group = {"name": "database", "volumes": ["data", "log"]}
    monday = {"group": "database", "name": "monday"}
    absent = {"state": "absent"}
    copy = {"name": "test", "snapshot": "monday"}
    made, again, grown, shrunk, taken, taken_again, copied, copied_again, kept = play(
        ("group", group),
        ("group", group),
        ("group", {**group, "volumes": ["data", "log", "more"]}),
        ("group", group),
        ("group_snapshot", monday),
        ("group_snapshot", monday),
        ("group", copy),
        ("group", copy),
        ("group", {"name": "database", **absent}),
    )
    assert (made["changed"], again["changed"]) == (True, False)
    assert again["group"]["id"] == made["group"]["id"]
    assert [len(task["group"]["volume_ids"]) for task in (made, grown, shrunk)] == [2, 3, 2]
    assert (grown["changed"], shrunk["changed"]) == (True, True)
    assert shrunk["group"]["volume_ids"] == made["group"]["volume_ids"]
    assert (taken["changed"], taken_again["changed"]) == (True, False)
    assert taken["group_snapshot"]["consistent"]
    assert (copied["changed"], copied_again["changed"]) == (True, False)
    assert kept["failed"]
    assert "it has 1 group snapshot(s)" in kept["msg"]

    missing, gone, gone_again, test_gone, group_gone, group_gone_again = play(
        ("group_snapshot", {"group": "nothing", "name": "monday"}),
        ("group_snapshot", {**monday, **absent}),
        ("group_snapshot", {"name": "monday", **absent}),
        ("group", {"name": "test", "delete_volumes": True, **absent}),
        ("group", {"name": "database", **absent}),
        ("group", {"name": "database", **absent}),
    )
    assert missing["failed"]
    assert missing["code"] == "NOT_FOUND"
    assert (gone["changed"], gone_again["changed"], test_gone["changed"]) == (True, False, True)
    assert (group_gone["changed"], group_gone_again["changed"]) == (True, False)
    names = cinderlib("volume", "list", "-o", "csv", "--columns", "name").stdout.split()[1:]
    assert sorted(names) == ["data", "log", "more"]


def test_types_and_encryption(cinderlib: Command, play: Play) -> None:
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    store = f'[store]\nconnection = "sqlite:///{cinderlib.folder}/metadata.sqlite"\n'
    kept = cinderlib.config.read_text()
    cinderlib.config.write_text(f'{kept}\n{store}encryption_keys = "{key}"\n')
    cinderlib("type", "create", "reserved", "--extra-spec", "provisioning:type=thick")
    typed = {"name": "data", "size": "1GiB", "type": "reserved"}
    secret = {"name": "secret", "size": "1GiB", "encryption": {"provider": "luks2"}}
    plain, retyped, again, unknown, encrypted, encrypted_again, changed = play(
        ("volume", {"name": "data", "size": "1GiB"}),
        ("volume", {**typed, "migrate": True}),
        ("volume", typed),
        ("volume", {**typed, "type": "gold"}),
        ("volume", secret),
        ("volume", secret),
        ("volume", {**secret, "encryption": {"provider": "luks"}}),
    )
    assert (plain["volume"]["type_name"], retyped["volume"]["type"]) == (None, "reserved")
    assert (retyped["changed"], again["changed"]) == (True, False)
    assert again["volume"]["extra_specs"] == {"provisioning:type": "thick"}
    assert (unknown["failed"], unknown["code"]) == (True, "NOT_FOUND")
    assert (encrypted["changed"], encrypted_again["changed"]) == (True, False)
    assert encrypted_again["volume"]["encryption"]["provider"] == "luks2"
    assert encrypted["volume"]["encryption_key"] == "***"
    assert changed["failed"]
    assert "encryption is" in changed["msg"]


def test_an_existing_volume_is_adopted_and_handed_back(cinderlib: Command, play: Play) -> None:
    cinderlib.volumes.mkdir(exist_ok=True)
    (cinderlib.volumes / "old").write_bytes(b"data".ljust(1024**3, b"\0"))
    adopt = {"name": "data", "reference": {"source-name": "old"}}
    back = {"name": "data", "state": "unmanaged"}
    wrong, adopted, again, with_size, taken, kept, snapshot_gone, handed_back, back_again = play(
        ("volume", {"name": "data", "reference": {"source-name": "none"}}),
        ("volume", adopt),
        ("volume", adopt),
        ("volume", {**adopt, "size": "2GiB"}),
        ("snapshot", {"volume": "data", "name": "monday"}),
        ("volume", back),
        ("snapshot", {"volume": "data", "name": "monday", "state": "absent"}),
        ("volume", back),
        ("volume", back),
    )
    assert wrong["failed"]
    assert "none" in wrong["msg"]
    assert (adopted["changed"], again["changed"], taken["changed"]) == (True, False, True)
    assert (adopted["volume"]["size"], again["volume"]["id"]) == (1, adopted["volume"]["id"])
    assert "mutually exclusive" in with_size["msg"]
    assert kept["failed"]
    assert "it has snapshots" in kept["msg"]
    assert (handed_back["changed"], back_again["changed"]) == (True, False)
    assert snapshot_gone["changed"]
    (file,) = cinderlib.volumes.iterdir()
    assert file.read_bytes()[:4] == b"data"
    assert cinderlib("volume", "list").stdout == ""


def test_a_volume_is_migrated_and_gets_other_specs(cinderlib: Command, play: Play) -> None:
    kept = cinderlib.config.read_text()
    other = f'[backends.other]\nvolume_driver = "file"\nfile_root = "{cinderlib.folder}/other"\n'
    cinderlib.config.write_text(f"{kept}\n{other}")
    data = {"name": "data", "backend": "files"}
    moved = {"name": "data", "backend": "other", "migrate": True}
    limited = {**data, "qos_specs": {"total_iops_sec": 500}}
    made, elsewhere, limit, again, changed, none, there, there_again, not_there = play(
        ("volume", {**data, "size": "1GiB"}),
        ("volume", {"id": "{{ result0.volume.id }}", "backend": "other"}),
        ("volume", limited),
        ("volume", limited),
        ("volume", {**data, "qos_specs": {"total_iops_sec": "600"}}),
        ("volume", {**data, "qos_specs": {}}),
        ("volume", moved),
        ("volume", moved),
        # Only a volume that is moved is found on other backends, not one to be deleted.
        ("volume", {**data, "migrate": True, "state": "absent"}),
    )
    assert not not_there["changed"]
    assert elsewhere["failed"]
    assert "backend is 'files', requested 'other'" in elsewhere["msg"]
    assert (limit["changed"], again["changed"], changed["changed"]) == (True, False, True)
    specs = [task["volume"]["qos_specs"] for task in (made, limit, changed, none)]
    assert specs == [{}, {"total_iops_sec": "500"}, {"total_iops_sec": "600"}, {}]
    assert (there["changed"], there_again["changed"]) == (True, False)
    assert there["diff"]["before"]["backend"] == "files"
    assert there["diff"]["after"]["backend"] == "other"
    assert there_again["volume"]["id"] == made["volume"]["id"]
    assert [path.name for path in (cinderlib.folder / "other").iterdir()] == [
        f"volume-{made['volume']['id']}"
    ]
    assert cinderlib.files == []


def test_existing_resources_are_listed(cinderlib: Command, play: Play) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    cinderlib("volume", "create", "other", "1GiB")
    cinderlib("snapshot", "create", "data", "monday")
    every, named, by_id, nothing, snapshots, others, backend = play(
        ("volume_info", {}),
        ("volume_info", {"name": "data", "backend": "files"}),
        ("volume_info", {"id": id}),
        ("volume_info", {"name": "none"}),
        ("snapshot_info", {"volume": "data"}),
        ("snapshot_info", {"volume": "other"}),
        ("backend_info", {}),
    )
    assert [volume["name"] for volume in every["volumes"]] == ["data", "other"]
    assert [volume["id"] for volume in named["volumes"]] == [id]
    assert by_id["volumes"] == named["volumes"]
    assert nothing["volumes"] == []
    assert [snapshot["name"] for snapshot in snapshots["snapshots"]] == ["monday"]
    assert others["snapshots"] == []
    assert (backend["backend"]["name"], len(backend["backend"]["pools"])) == ("files", 1)
    assert backend["backend"]["replication"]["status"] == "disabled"
    assert not any(task["changed"] for task in (every, named, by_id, snapshots, backend))


def test_the_metadata_of_the_collection_is_valid_for_galaxy() -> None:
    metadata = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    assert metadata["version"] == cl.__version__
    assert {"repository", "documentation", "issues", "license", "tags"} <= metadata.keys()
    releases = yaml.safe_load((COLLECTION / "changelogs" / "changelog.yaml").read_text())[
        "releases"
    ]
    assert cl.__version__ in releases
    listed = {module["name"] for release in releases.values() for module in release["modules"]}
    assert listed == set(MODULES)


def test_check_mode_reports_and_does_not_change_anything(cinderlib: Command, play: Play) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    cinderlib("snapshot", "create", "data", "monday")
    before = cinderlib("store", "dump").stdout, cinderlib.files
    new, grown, same, taken, gone, attached, mapped = play(
        ("volume", {"name": "new", "size": "10GiB"}),
        ("volume", {"id": id, "name": "renamed", "size": "2GiB"}),
        ("volume", {"name": "data", "size": "1GiB"}),
        ("snapshot", {"volume": "data", "name": "tuesday"}),
        ("snapshot", {"volume": "data", "name": "monday", "state": "absent"}),
        ("attachment", {"volume": "data"}),
        ("connection", {"volume": "data", "connector": {"host": "h", "ip": "192.0.2.1"}}),
        options=("--check", "--diff"),
    )
    assert all(task["changed"] for task in (new, grown, taken, gone, attached, mapped))
    assert not same["changed"]
    assert new["volume"] == {"name": "new", "size": 10}
    sides = grown["diff"]["before"], grown["diff"]["after"]
    assert [(side["name"], side["size"]) for side in sides] == [("data", 1), ("renamed", 2)]
    assert attached["diff"] == {"before": {"attached": False}, "after": {"attached": True}}
    assert (cinderlib("store", "dump").stdout, cinderlib.files) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has loop devices")
def test_check_mode_reports_that_a_missing_device_would_be_attached(
    cinderlib: Command, play: Play
) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data").line
    (file,) = cinderlib.volumes.glob("volume-*")
    source = loop.Source.of(str(file))
    assert source is not None
    loop.remove(device, source)
    (would,) = play(("attachment", {"volume": "data"}), options=("--check",))
    assert would["changed"]
    # A test that runs at the same time can receive the number of the removed device.
    assert would["connection"]["device_state"] in {"gone", "another"}
    cinderlib("volume", "detach", "data")


def test_a_volume_for_another_host(cinderlib: Command, play: Play) -> None:
    """Controller and node on one host; the tasks pass the document on as in a playbook."""
    cinderlib("volume", "create", "data", "1GiB")
    connect = {"volume": "data", "connector": "{{ result0.connector }}"}
    attach = {"connection_info": "{{ result1.connection_info }}"}
    absent = {"state": "absent"}
    unmap = {"volume": "data", "host": "{{ result0.connector.host }}", **absent}
    who, mapped, again, attached, attached_again, detached, detached_again, gone, gone_again = play(
        ("connector_info", {"protocol": "local"}),
        ("connection", connect),
        ("connection", connect),
        ("node_attachment", attach),
        ("node_attachment", attach),
        ("node_attachment", {**attach, **absent}),
        ("node_attachment", {**attach, **absent}),
        ("connection", unmap),
        ("connection", unmap),
    )
    assert not who["changed"]
    assert (mapped["changed"], again["changed"]) == (True, False)
    assert mapped["connection_info"] == again["connection_info"]
    assert (attached["changed"], attached_again["changed"]) == (True, False)
    assert attached["path"] == attached_again["path"]
    assert (detached["changed"], detached_again["changed"]) == (True, False)
    assert (gone["changed"], gone_again["changed"]) == (True, False)
    assert cinderlib("connection", "list").stdout == ""


def test_backend_options_secrets_and_mistakes_in_a_playbook(cinderlib: Command, play: Play) -> None:
    cinderlib("volume", "create", "same", "1GiB")
    cinderlib("volume", "create", "same", "1GiB", "--allow-duplicate")
    id = str(uuid.uuid4())
    inline = {
        "backend": "inline",
        "backend_options": {
            "volume_driver": "file",
            "file_root": str(cinderlib.folder / "inline"),
            "chap_password": "hidden1",
        },
        "store": {"connection": f"sqlite:///{cinderlib.folder}/inline.sqlite"},
        "id": id,
        "size": "1GiB",
    }
    made, again, *wrong = play(
        ("volume", inline),
        ("volume", inline),
        ("volume", {"name": "x", "size": "ten"}),
        ("volume", {"name": "x", "size": "1GiB", "backend": "fils"}),
        ("volume", {"name": "same", "state": "absent"}),
        ("node_attachment", {"connection_info": {"nothing": "in it"}}),
        options=("-vvv",),
    )
    assert (made["changed"], again["changed"]) == (True, False)
    assert [path.name for path in (cinderlib.folder / "inline").iterdir()] == [f"volume-{id}"]
    assert "hidden1" not in json.dumps([made, again])
    shown = made["invocation"]["module_args"]
    assert shown["backend_options"]["file_root"] == str(cinderlib.folder / "inline")

    said = [
        "write it like 10GiB",
        "did you mean 'files'?",
        "2 volumes have the name 'same'",
        "conn",
    ]
    codes = ["INVALID_ARGUMENT", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    for task, words, code in zip(wrong, said, codes, strict=True):
        assert task["failed"]
        assert words in task["msg"]
        assert task["code"] == code
        assert "Traceback" not in json.dumps(task)
    assert len(cinderlib.files) == 2


def test_the_documentation_matches_the_options(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"cinderlib.storage.{name}" for name in MODULES]
    done = subprocess.run(
        [PROGRAMS / "ansible-doc", "--json", *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    pages = json.loads(done.stdout)
    monkeypatch.syspath_prepend(environment["ANSIBLE_COLLECTIONS_PATH"])
    for name, full_name in zip(MODULES, names, strict=True):
        module = importlib.import_module(
            f"ansible_collections.cinderlib.storage.plugins.modules.{name}"
        )
        made: dict[str, Any] = {}

        def make(made: dict[str, Any] = made, **arguments: Any) -> None:
            made.update(arguments)
            raise SystemExit

        monkeypatch.setattr(module, "AnsibleModule", make)
        with pytest.raises(SystemExit):
            module.main()
        documented = pages[full_name]["doc"]["options"]
        assert documented.keys() == made["argument_spec"].keys()
        for option, spec in made["argument_spec"].items():
            shown = documented[option]
            assert (shown["type"], shown.get("choices"), shown.get("default")) == (
                spec["type"], spec.get("choices"), spec.get("default"),
            )  # fmt: skip
        assert pages[full_name]["examples"]
        assert pages[full_name]["return"]


SYSTEM = "/usr/bin/python3"


def _lacks_cinderlib() -> bool:
    if not pathlib.Path(SYSTEM).exists():
        return False
    return bool(
        subprocess.run(
            [SYSTEM, "-c", "import cinderlib"], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.skipif(
    not _lacks_cinderlib(), reason=f"needs {SYSTEM} without cinderlib: apt-get install python3"
)
def test_a_host_without_cinderlib_gets_an_installation_hint(play: Play) -> None:
    there = ("--extra-vars", f"ansible_python_interpreter={SYSTEM}")
    (failed,) = play(("connector_info", {}), options=there)
    assert failed["failed"]
    assert "Failed to import the required Python library (cinderlib)" in failed["msg"]


def test_ids_are_not_names_and_empty_values_are_not_defaults(
    cinderlib: Command, play: Play
) -> None:
    gone = str(uuid.uuid4())
    absent = {"state": "absent"}
    made, by_id, by_name, snapshot, empty_id, empty_host = play(
        ("volume", {"name": gone, "size": "1GiB"}),
        ("volume", {"id": gone, **absent}),
        ("attachment", {"volume": gone, **absent}),
        ("snapshot", {"id": gone, **absent}),
        ("volume", {"id": "", "name": gone, **absent}),
        ("connection", {"volume": gone, "host": "", **absent}),
    )
    assert not any(done["changed"] for done in (by_id, by_name, snapshot))
    assert "id is empty" in empty_id["msg"]
    assert "host is empty" in empty_host["msg"]
    assert [row[0] for row in cinderlib("volume", "list").rows] == [made["volume"]["id"]]
