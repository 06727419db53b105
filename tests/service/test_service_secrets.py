"""The service shows secrets of drivers, volumes and connections only to hosts that need them."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest
from service.running import Service
from service.secrets_of_driver import CHAP, KEY, PASSWORD

import cinderlib as cl
from cinderlib.service.routes import ROUTES

SECRETS = (CHAP, KEY, PASSWORD)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        folder = pathlib.Path(name)
        made = Service(
            folder,
            service='role = "read"\nmode = "0666"',
            backends=(
                '[backends.files]\nvolume_driver = "service.secret_driver.SecretDriver"\n'
                f'file_root = "{folder}/volumes"\ntest_password = "{PASSWORD}"\n'
            ),
        )
        folder.chmod(0o755)
        with made.start("--debug"):
            yield made


@pytest.fixture(scope="module")
def volume(service: Service) -> str:
    status, made = service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})
    assert status == 200, made
    id: str = made["id"]
    return id


@pytest.fixture(scope="module")
def connection(service: Service, volume: str) -> str:
    """The ID of a connection. Its document, which the host needs, has the key."""
    with cl.connect(service.url) as controller:
        connector = cl.Node().connector_properties("local")
        made = controller.volume(volume).connect(connector)
        made.device_attached({"path": "/dev/null", "type": "local", "auth_password": KEY})
        assert made.connection_info["conn"]["data"]["auth_password"] == KEY
        return made.id


def test_each_request_that_reads_hides_them(service: Service, volume: str, connection: str) -> None:
    """Also from an administrator, who can read them in the store."""
    snapshot = service.ask("POST", "/v1/snapshots", {"volume_id": volume})[1]["id"]
    member = service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})[1]["id"]
    body = {"backend": "files", "name": "members", "volume_ids": [member]}
    group = service.ask("POST", "/v1/groups", body)[1]["id"]
    ids = {
        "volumes": volume,
        "snapshots": snapshot,
        "connections": connection,
        "groups": group,
        "group-snapshots": service.ask("POST", f"/v1/groups/{group}/snapshots", {})[1]["id"],
        "backends": "files",
        "nodes": "node7",
        "types": "gold",
        "operations": service.ask("GET", "/v1/operations")[1][0]["id"],
    }
    connector = {"connector": {"host": "node7"}}
    assert service.ask("PUT", "/v1/nodes/node7", connector)[0] == 200
    assert service.ask("POST", "/v1/types", {"name": "gold"})[0] == 200
    queries = {"/v1/volumes/{id}/revert-blockers": f"?snapshot_id={snapshot}"}
    others = ("/v1/operations", "/v1/operations/{id}", "/v1/service")
    probes = ("/openapi.json", "/metrics", "/health", "/ready")
    for route in (*(r.path for r in ROUTES if r.method == "GET"), *others, *probes):
        path = route.replace("{id}", ids[route.split("/")[2]]) if "{id}" in route else route
        status, answer = service.ask("GET", path + queries.get(route, ""))
        assert status == 200, answer
        assert not [secret for secret in SECRETS if secret in str(answer)], path
    for path in ("/v1/volumes", "/v1/snapshots", "/v1/connections"):
        lines = str(list(service.lines("GET", path)))
        assert "files" in lines
        assert not [secret for secret in SECRETS if secret in lines], path
    # With the request for keys, the same answer has one.
    keys = service.ask("GET", f"/v1/connections/{connection}?keys=true")[1]
    assert KEY in json.dumps(keys)


def test_a_change_hides_them(service: Service, volume: str, connection: str) -> None:
    for method, path, body in (
        ("PATCH", f"/v1/volumes/{volume}", {"name": "renamed"}),
        ("POST", f"/v1/volumes/{volume}/extend", {"size": 2}),
        ("PUT", f"/v1/connections/{connection}/device", {"device": {"path": "/dev/zero"}}),
        ("POST", "/v1/volumes", {"source_volid": volume}),
        ("POST", "/v1/backends/files/reconcile", {}),
        ("POST", "/v1/recover", {}),
    ):
        status, answer = service.ask(method, path, body)
        assert status == 200, answer
        assert not [secret for secret in SECRETS if secret in str(answer)], path


def test_errors_and_the_log_hide_them(service: Service, connection: str) -> None:
    body = {"backend": "files", "size": 1, "name": "refused"}
    status, error = service.ask("POST", "/v1/volumes", body)
    assert (status, error["error"]["type"]) == (500, "DriverError")
    assert "login admin:*** was refused" in error["error"]["message"]
    assert PASSWORD not in str(error)
    log = service.log.read_text()
    assert "volume.create" in log
    assert not [secret for secret in SECRETS if secret in log]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_reader_gets_no_keys(service: Service, connection: str) -> None:
    """Although it asks for them."""
    for path in (f"/v1/connections/{connection}?keys=true", "/v1/connections?keys=true"):
        answer = service.get_as(65534, path)
        assert answer.startswith("HTTP/1.1 200 ")
        assert connection in answer
        assert not [secret for secret in SECRETS if secret in answer]
