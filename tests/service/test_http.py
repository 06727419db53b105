"""The service from the view of an HTTP client."""

from __future__ import annotations

import os
import re
import socket
import uuid
from typing import Any

import pytest
from service.running import Service

from cinderlib import Node


def test_lifecycle_of_a_volume(service: Service) -> None:
    status, volume = service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1.5})
    assert (status, volume["status"], volume["size"]) == (200, "available", 2)
    assert volume["changed"] is True
    path = f"/v1/volumes/{volume['id']}"
    assert service.ask("PATCH", path, {"name": "data", "metadata": {"a": "b"}})[0] == 200
    status, shown = service.ask("GET", path)
    assert (shown["name"], shown["metadata"]) == ("data", {"a": "b"})
    status, snapshot = service.ask("POST", "/v1/snapshots", {"volume_id": volume["id"]})
    assert status == 200
    status, copy = service.ask("POST", "/v1/volumes", {"snapshot_id": snapshot["id"]})
    assert (status, copy["snapshot_id"]) == (200, snapshot["id"])
    status, extended = service.ask("POST", f"{path}/extend", {"size": 3})
    assert (status, extended["size"], extended["size_bytes"]) == (200, 3, 3 * 1024**3)
    status, error = service.ask("DELETE", path)
    assert (status, error["error"]["type"]) == (409, "InvalidVolume")
    assert service.ask("DELETE", f"/v1/snapshots/{snapshot['id']}")[0] == 200
    assert service.ask("DELETE", path) == (200, {"id": volume["id"], "changed": True})
    assert service.ask("DELETE", path) == (200, {"id": volume["id"], "changed": False})
    assert service.ask("GET", path)[0] == 404


def test_lists_are_filtered_and_paged(service: Service) -> None:
    name = str(uuid.uuid4())
    made = [
        service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1, "name": name})[1]["id"]
        for _ in range(3)
    ]
    _, found = service.ask("GET", f"/v1/volumes?name={name}")
    assert [each["id"] for each in found] == made
    _, found = service.ask("GET", f"/v1/volumes?name={name}&limit=1&after={made[0]}")
    assert [each["id"] for each in found] == made[1:2]
    lines = list(service.lines("GET", f"/v1/volumes?name={name}"))
    assert [each["id"] for each in lines] == made
    assert service.ask("GET", "/v1/volumes?backend=nowhere") == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/v1/volumes", {"backend": "files", "size": 0}, 400, "size"),
        ("POST", "/v1/volumes", {"backend": "files", "size": 1, "colour": "red"}, 400, "colour"),
        ("POST", "/v1/volumes", {"size": 1}, 400, "backend"),
        ("POST", "/v1/volumes", {"backend": "files", "source_volid": "x"}, 400, "one of"),
        ("POST", "/v1/volumes", {"backend": 7}, 400, "backend"),
        ("POST", "/v1/volumes", b"{", 400, "not valid"),
        ("POST", "/v1/volumes", b"[" * 100_000, 400, "not valid"),
        ("POST", "/v1/volumes", b"\xff", 400, "not valid"),
        ("POST", "/v1/volumes", b'"' + b"x" * 5_000_000 + b'"', 400, "longer"),
        ("GET", "/v1/volumes/none", None, 404, "none"),
        ("GET", "/v1/volumes?colour=red", None, 400, "colour"),
        ("GET", "/v1/volumes?limit=-1", None, 400, "limit"),
        ("GET", "/v1/volumes?after=none", None, 404, "none"),
        ("GET", "/v1/volumes?after=now,none", None, 400, "place in a list"),
        ("GET", "/v2/volumes", None, 404, "/v2/volumes"),
        ("PUT", "/v1/volumes", {}, 405, "PUT"),
        ("GET", "/v1/backends/none/stats", None, 409, "configured: files"),
        ("POST", "/v1/volumes/none/extend", {"size": 2}, 404, "none"),
        ("GET", "/v1/operations/none", None, 404, "none"),
    ],
)
def test_invalid_requests_get_an_explanation(
    service: Service, method: str, path: str, body: Any, status: int, says: str
) -> None:
    before = service.ask("GET", "/v1/volumes")
    answered, error = service.ask(method, path, body)
    assert answered == status
    assert says in error["error"]["message"]
    assert service.ask("GET", "/v1/volumes") == before


def test_a_client_may_disconnect_and_reconnect(service: Service) -> None:
    lines = service.lines("POST", "/v1/volumes", {"backend": "files", "size": 1})
    operation = next(lines)["operation"]
    lines.close()
    status, volume = service.ask("GET", f"/v1/operations/{operation}?wait=true")
    assert (status, volume["status"]) == (200, "available")
    assert service.ask("GET", f"/v1/operations/{operation}")[1]["state"] == "done"


def test_a_repeated_request_has_no_further_effect(service: Service) -> None:
    id = str(uuid.uuid4())
    body = {"backend": "files", "size": 1}
    first = service.ask("POST", "/v1/volumes", body, Operation_Id=id)
    assert service.ask("POST", "/v1/volumes", body, Operation_Id=id) == first
    status, error = service.ask("POST", "/v1/volumes", {**body, "size": 2}, Operation_Id=id)
    assert (status, error["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_invalid_http_closes_only_its_connection(service: Service) -> None:
    for sent in (
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/volumes HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"GET /" + b"x" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000,
        b"POST /v1/volumes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(service.socket))
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                answer = b""
            assert not answer or re.match(rb"HTTP/1.1 [45]", answer)
        assert service.ask("GET", "/health")[0] == 200


def test_idle_connections_do_not_block_others(service: Service) -> None:
    opened = []
    try:
        for number in range(1000):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(service.socket))
            if number % 2:
                connection.sendall(b"GET /v1/volumes HTTP/1.1\r\nhost:")  # an incomplete request
            opened.append(connection)
        assert service.ask("GET", "/health")[0] == 200
        assert service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[0] == 200
    finally:
        for connection in opened:
            connection.close()


def test_metrics_and_the_openapi_document(service: Service) -> None:
    service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})
    status, text = service.ask("GET", "/metrics")
    assert status == 200
    counted = re.search(
        rb'cinderlib_operations_total{backend="files",outcome="OK",verb="volume.create"} (\d+)',
        text,
    )
    assert counted is not None
    assert int(counted[1]) > 0
    assert b'cinderlib_backend_loaded{backend="files"} 1.0' in text
    assert b'driver_call_seconds_count{backend="files",method="create_volume"}' in text
    assert b'cinderlib_lock_wait_seconds_count{kind="volume"}' in text
    assert b'cinderlib_pool_age_seconds{backend="files",pool="files"}' in text
    assert b'cinderlib_pool_capacity_bytes{backend="files",pool="files"}' in text
    status, document = service.ask("GET", "/openapi.json")
    assert status == 200
    create = document["paths"]["/v1/volumes"]["post"]
    reference = create["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert {"backend", "size", "name"} <= schema["properties"].keys()
    assert "Create a volume" in create["summary"]


def test_readiness_reports_the_loaded_backends(service: Service) -> None:
    service.ask("GET", "/v1/backends/files/stats")
    status, ready = service.ask("GET", "/ready")
    assert (status, ready["status"]) == (200, "ready")
    (files,) = ready["backends"]
    assert (files["name"], files["loaded"], files["error"]) == ("files", True, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_mode_of_the_socket_excludes_other_users(service: Service) -> None:
    with pytest.raises(PermissionError):
        service.get_as(65534, "/health")


def test_connections_are_shown_without_keys_unless_requested(service: Service) -> None:
    """This driver has no keys; the path of the volume's file is hidden like one."""
    _, volume = service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})
    connector = Node().connector_properties("local")
    path = f"/v1/volumes/{volume['id']}/connect"
    status, connection = service.ask("POST", path, {"connector": connector})
    assert status == 200
    assert "device_path" in str(connection["connection_info"])
    listed, shown = "/v1/connections", f"/v1/connections/{connection['id']}"
    for path in (listed, shown, "/v1/operations"):
        answer = str(service.ask("GET", path))
        assert "device_path" not in answer, path
    for path in (listed, shown):
        answer = str(service.ask("GET", f"{path}?keys=true"))
        assert "device_path" in answer, path
