"""Each role may use its own requests, and no others."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
from service.site import Site

from cinderlib.service.routes import ROUTES

#: The requests of a node, by name; a role that includes ``node`` has them too.
OF_NODES = {
    *("volume.connect", "connection.list", "connection.show", "connection.disconnect"),
    *("connection.report", "node.register"),
}
OF_ADMINISTRATORS = {"backend.reconcile", "backend.restore_exports", "recover"}
#: Requests that read, although they are a POST.
READING = {"backend.validate_connector"}

NAMES = {route.name for route in ROUTES}
READ = {route.name for route in ROUTES if route.method == "GET"} | READING
ALLOWED = {
    "nobody": set(),
    "reader": READ,
    "node1": OF_NODES,
    "operator": NAMES - OF_ADMINISTRATORS,
    "administrator": NAMES,
}
#: Requests that are not in the table of verbs.
ADMINISTERED = ("POST", "/v1/service/reload")
OTHERS = ("/v1/operations", "/v1/service", "/metrics")


@pytest.fixture(params=ALLOWED)
def client(request: pytest.FixtureRequest, site: Site) -> tuple[str, Asking]:
    return request.param, Asking(site, request.param)


class Asking:
    """Sends requests with a client's certificate."""

    def __init__(self, site: Site, name: str) -> None:
        context = ssl.create_default_context(cafile=str(site.authority.certificate))
        certificate = site.authority.issue(name, common_name=name)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", site.port, context=context, timeout=60
        )

    def __call__(self, method: str, path: str) -> int:
        self._connection.request(method, path, json.dumps({}))
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def test_each_role_has_its_own_requests(client: tuple[str, Asking]) -> None:
    name, ask = client
    allowed = set()
    for route in ROUTES:
        path = route.path.replace("{id}", "none")
        if route.name == "connection.list":
            path += f"?attached_host={name}"
        if route.name == "node.register":
            path = f"/v1/nodes/{name}"
        if ask(route.method, path) != 403:
            allowed.add(route.name)
    assert allowed == ALLOWED[name]


def test_the_state_of_the_service_needs_the_role_read(client: tuple[str, Asking]) -> None:
    name, ask = client
    expected = {403} if name in ("nobody", "node1") else {200, 404}
    assert {ask("GET", path) for path in OTHERS} <= expected


def test_only_administrators_reload(client: tuple[str, Asking]) -> None:
    name, ask = client
    assert ask(*ADMINISTERED) == (200 if name == "administrator" else 403)


def test_probes_need_a_certificate_but_no_role(client: tuple[str, Asking]) -> None:
    _, ask = client
    assert [ask("GET", path) for path in ("/health", "/ready", "/openapi.json")] == [200] * 3
