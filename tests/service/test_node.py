"""A node without a store: volumes over TLS, with the role ``node``."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import certificates
import pytest
from service.running import COMMAND
from service.site import Site

import cinderlib as cl

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices")


@pytest.fixture
def volume(site: Site) -> Iterator[str]:
    """The ID of a volume with the name ``data``."""
    _, made = site.service.ask(
        "POST", "/v1/volumes", {"backend": "files", "size": 1, "name": "data"}
    )
    yield made["id"]
    for each in site.service.ask("GET", f"/v1/connections?volume_id={made['id']}")[1]:
        site.service.ask("POST", f"/v1/connections/{each['id']}/disconnect", {"force": True})
    status, answer = site.service.ask("DELETE", f"/v1/volumes/{made['id']}")
    assert status == 200, answer


def connections(site: Site, volume: str) -> list[tuple[str, bool]]:
    """The hosts with the volume, and whether they reported a device."""
    _, found = site.service.ask("GET", f"/v1/connections?volume_id={volume}")
    return [(each["attached_host"], bool(each["device"])) for each in found]


def test_a_volume_is_attached_and_detached_with_one_call(site: Site, volume: str) -> None:
    with site.client("node1") as client:
        attachment = client.attach("data")
        with open(attachment.path, "r+b") as device:
            device.write(b"written by node1")
        assert connections(site, volume) == [("node1", True)]
        again = client.attach(volume)
        assert (again.path, again.changed) == (attachment.path, False)
        assert [each["volume_id"] for each in client.connections()] == [volume]
        assert client.detach(volume)
        assert connections(site, volume) == []
        assert client.node.attachments() == []
        assert not client.detach(volume)
        client.register("node1", "local")


def test_a_second_host_is_refused(site: Site, volume: str) -> None:
    with site.client("node1") as first, site.client("node2") as second:
        first.attach(volume)
        with pytest.raises(cl.errors.InvalidVolume, match="connected"):
            second.attach(volume)
        assert connections(site, volume) == [("node1", True)]
        first.detach(volume)
        second.attach(volume)
        second.detach(volume)


def test_a_failed_attach_leaves_no_connection(
    site: Site, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: cl.Node, document: object, **options: object) -> None:
        raise cl.errors.DeviceUnavailable("The device did not appear.")

    with site.client("node1") as client, monkeypatch.context() as patch:
        patch.setattr(cl.Node, "attach", fails)
        with pytest.raises(cl.errors.DeviceUnavailable):
            client.attach(volume)
        assert connections(site, volume) == []


def test_a_node_gets_no_keys_of_another_host(site: Site, volume: str) -> None:
    """With another host's initiator, or the ID of that connection."""
    with site.client("node1") as own, site.client("node2") as other:
        own.attach(volume)
        (theirs,) = own.connections()
        connector = {"host": "node2", "ip": "192.0.2.2", "initiator": "iqn.x:node1"}
        for body in (
            {"connector": {**theirs["connector"], "host": "node2"}},
            {"connector": connector, "id": theirs["id"]},
            {"connector": theirs["connector"], "id": theirs["id"]},
        ):
            with pytest.raises(cl.errors.CinderlibError) as caught:
                other._transport.change("POST", f"/v1/volumes/{volume}/connect", body)
            assert isinstance(
                caught.value,
                cl.errors.PermissionDenied | cl.errors.InvalidVolume | cl.errors.AlreadyExists,
            )
        assert connections(site, volume) == [("node1", True)]
        own.detach(volume)


def test_a_node_gets_the_result_of_its_own_call_alone(site: Site, volume: str) -> None:
    """After its connection to the service broke."""
    with site.client("node1") as own, site.client("node2") as other:
        sent = own._transport._send(
            "PUT",
            "/v1/nodes/node1",
            json.dumps({"connector": own.node.connector_properties("local")}).encode(),
            {"Operation-Id": "00000000-0000-4000-8000-000000000001"},
        )
        sent.read()
        path = "/v1/operations/00000000-0000-4000-8000-000000000001"
        assert own._transport.get(path, wait="true")["name"] == "node1"
        with pytest.raises(cl.errors.PermissionDenied):
            other._transport.get(path)
        with pytest.raises(cl.errors.NotFound):
            own._transport.get("/v1/operations/00000000-0000-4000-8000-000000000002")


KILLED = """
import os, signal, sys
import cinderlib as cl
from cinderlib.client.node import NodeClient
url, folder, volume, method, where = sys.argv[1:]
of, _, name = where.partition(".")
kind = {"client": NodeClient, "node": cl.Node}[of]
real = getattr(kind, name)
def dies(*args, **kwargs):
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(kind, name, dies)
node = cl.Node(host="node1", state_path=folder + "/state-node1")
client = NodeClient(url, certificate=folder + "/node1.pem", key=folder + "/node1.key",
                    ca=folder + "/ca.pem", node=node)
getattr(client, method)(volume)
"""


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("attach", "node.attach"),
        ("attach", "client._report"),
        ("detach", "node.detach"),
        ("detach", "client._report"),
        ("detach", "client._disconnect"),
    ],
)
def test_the_same_call_completes_one_that_was_killed(
    site: Site, volume: str, method: str, where: str
) -> None:
    with site.client("node1") as client:
        if method == "detach":
            client.attach(volume)
        command = [sys.executable, "-c", KILLED, site.url, str(site.folder), volume, method, where]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        getattr(client, method)(volume)
        expected = [("node1", True)] if method == "attach" else []
        assert connections(site, volume) == expected
        client.detach(volume)
        assert connections(site, volume) == []
        assert client.node.attachments() == []
        assert client.node.leftovers() == []


def test_a_detach_that_was_killed_is_repeated_by_the_connection(site: Site, volume: str) -> None:
    with site.client("node1") as client:
        client.attach(volume)
        (connection,) = client.connections()
        client.node.detach(connection["id"])
        assert client.detach(connection["id"])
        assert connections(site, volume) == []


def test_an_attach_that_was_killed_can_be_undone(site: Site, volume: str) -> None:
    """Its connection exists, but no device."""
    with site.client("node1") as client:
        connector = client.node.connector_properties()
        body = {"connector": connector, "attached_host": "node1"}
        status, answer = site.service.ask("POST", f"/v1/volumes/{volume}/connect", body)
        assert status == 200, answer
        assert client.detach(volume)
        assert connections(site, volume) == []


def test_a_node_acts_for_its_own_host_only(site: Site, volume: str) -> None:
    with site.client("node1") as own, site.client("node2", host="node1") as other:
        own.attach(volume)
        for call in (
            lambda: other.attach(volume),
            lambda: other.register("node1", "local"),
            lambda: other.register("node2", "local"),
            lambda: list(other.connections()),
        ):
            with pytest.raises(cl.errors.PermissionDenied, match="for host 'node2' only"):
                call()
        own.detach(volume)


def test_a_node_joins_another_host_only_if_an_operator_connects_it(site: Site, volume: str) -> None:
    """Otherwise any node could read and overwrite the volumes that others use."""
    with site.client("node1") as first, site.client("node2") as second:
        first.attach(volume)
        for joining in ({"migrating": True}, {"instance_uuid": "vm1"}):
            connector = second.node.connector_properties("local")
            body = {"connector": connector, "attached_host": "node2", **joining}
            with pytest.raises(cl.errors.PermissionDenied, match="role 'operate'") as refused:
                second._transport.change("POST", f"/v1/volumes/{volume}/connect", body)
            assert volume in str(refused.value)
            assert connections(site, volume) == [("node1", True)]
        body = {"connector": connector, "attached_host": "node2", "migrating": True}
        assert site.service.ask("POST", f"/v1/volumes/{volume}/connect", body)[0] == 200
        second.attach(volume, migrating=True)
        assert connections(site, volume) == [("node1", True), ("node2", True)]
        first.detach(volume)
        second.detach(volume)


def test_a_node_neither_sees_nor_changes_the_connection_of_another(site: Site, volume: str) -> None:
    with site.client("node1") as own, site.client("node2") as other:
        own.attach(volume)
        (connection,) = own.connections()
        path = f"/v1/connections/{connection['id']}"
        for method, target, body in (
            ("GET", path, None),
            ("GET", f"{path}?keys=true", None),
            ("GET", "/v1/connections?attached_host=node1&keys=true", None),
            ("POST", f"{path}/disconnect", {"force": True}),
            ("PUT", f"{path}/device", {"device": None}),
        ):
            sent = json.dumps(body).encode() if body else None
            response = other._transport._send(method, target, sent, {})
            assert (response.status, b"node1" in response.read()) == (403, True), target
        listed = [client._transport.get("/v1/connections") for client in (own, other)]
        assert [[each["id"] for each in found] for found in listed] == [[connection["id"]], []]
        assert connections(site, volume) == [("node1", True)]
        own.detach(volume)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("reader", "has the role 'read'"),
        ("nobody", "has no role"),
    ],
)
def test_a_client_without_the_role_is_refused(
    site: Site, volume: str, name: str, problem: str
) -> None:
    with (
        site.client(name) as client,
        pytest.raises(cl.errors.PermissionDenied, match=problem),
    ):
        client.attach(volume)


def foreign(site: Site, folder: pathlib.Path) -> pathlib.Path:
    return certificates.Authority(folder, "foreign").issue("node1", common_name="node1")


def expired(site: Site, folder: pathlib.Path) -> pathlib.Path:
    name = {"common_name": "node1", "expires": -datetime.timedelta(hours=1)}
    return site.authority.issue("expired", **name)


@pytest.mark.parametrize("make", [None, foreign, expired])
def test_a_client_without_a_valid_certificate_is_refused(
    site: Site, tmp_path: pathlib.Path, make: Callable[[Site, pathlib.Path], pathlib.Path] | None
) -> None:
    certificate = make(site, tmp_path) if make else None
    client = cl.NodeClient(
        site.url,
        certificate=certificate,
        key=certificate.with_suffix(".key") if certificate else None,
        ca=site.authority.certificate,
        node=cl.Node(host="node1", state_path=tmp_path),
    )
    for call in (lambda: list(client.connections()), lambda: client.attach("data")):
        with pytest.raises(cl.errors.ServiceUnavailable, match="certificate"):
            call()


def test_a_service_with_a_foreign_certificate_is_refused(
    site: Site, tmp_path: pathlib.Path
) -> None:
    other = certificates.Authority(tmp_path, "other")
    certificate = site.authority.issue("node1", common_name="node1")
    client = cl.NodeClient(
        site.url,
        certificate=certificate,
        key=certificate.with_suffix(".key"),
        ca=other.certificate,
        node=cl.Node(host="node1", state_path=tmp_path),
    )
    with pytest.raises(cl.errors.ServiceUnavailable, match="certificate verify failed"):
        list(client.connections())


def test_the_command(site: Site, volume: str) -> None:
    environment = site.configure("node1")

    def command(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    command("node", "register", "node1", "--protocol", "local")
    path = command("node", "attach", "data").strip()
    assert pathlib.Path(path).is_block_device()
    assert command("node", "attach", volume).strip() == path
    assert volume in command("node", "list")
    assert connections(site, volume) == [("node1", True)]
    command("node", "detach", path)
    assert connections(site, volume) == []
    assert "matches" in command("node", "detach", volume, code=3)
    assert "nosuch" in command("node", "attach", "nosuch", code=3)


@pytest.mark.slow
def test_detaching_says_what_was_disconnected(site: Site, volume: str) -> None:
    environment = site.configure("node1")

    def detach(document: dict[str, object], code: int = 0) -> str:
        done = subprocess.run(
            [*COMMAND, "node", "detach", "-"],
            env=environment, input=json.dumps(document), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr

    with site.client("node1") as client:
        document = client.attach(volume).connection_info
        without_id = {name: value for name, value in document.items() if name != "id"}
        with pytest.raises(cl.errors.InvalidInput, match="no connection ID"):
            client.detach(without_id)
        assert connections(site, volume) == [("node1", True)]
        assert detach(document) == "Detached and disconnected.\n"
        assert connections(site, volume) == []
        assert "no such connection" in detach(document)
        client.attach(volume)
        assert "disconnect the volume on the controller" in detach(without_id)
        assert [host for host, _ in connections(site, volume)] == ["node1"]
        client.detach(volume)
        assert connections(site, volume) == []
