"""Each role may use its own requests, and no others."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import ssl

import pytest
from service.site import Site

from cinderlib.service import openapi

PAGE = (pathlib.Path(__file__).parents[2] / "docs/service.md").read_text()
#: Method and path of each request -> the role that it needs, as documented.
DOCUMENTED = {
    (method, path): role
    for method, path, role in re.findall(r"^\| `([A-Z]+) (/v1/\S+)` \| `(\w+)` \|", PAGE, re.M)
}
#: The roles whose requests a role may send, as documented.
INCLUDED = {
    "nobody": set(),
    "reader": {"read"},
    "node1": {"node"},
    "operator": {"read", "node", "operate"},
    "administrator": {"read", "node", "operate", "administer"},
}
#: Readers see the connections of all nodes.
ALSO_READ = {("GET", "/v1/connections"), ("GET", "/v1/connections/{id}")}
#: Requests that are not in the table of verbs.
OTHERS = ("/v1/operations", "/v1/service", "/metrics")


#: Requests that need no role.
PROBES = ("/health", "/ready", "/openapi.json")


@pytest.fixture(params=INCLUDED)
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
    expected = {request for request, role in DOCUMENTED.items() if role in INCLUDED[name]}
    if name == "reader":
        expected |= ALSO_READ
    allowed = set()
    for method, path in DOCUMENTED:
        sent = path.replace("{id}", "none")
        if path == "/v1/nodes/{id}":
            sent = f"/v1/nodes/{name}"
        status = ask(method, sent)
        assert status < 500, (method, sent)
        if status != 403:
            allowed.add((method, path))
    assert allowed == expected


def test_all_requests_are_documented() -> None:
    described = json.loads(openapi.document())["paths"]
    served = {(m.upper(), path) for path, methods in described.items() for m in methods}
    others = {("GET", path) for path in (*OTHERS, "/v1/operations/{id}", *PROBES)}
    assert served == DOCUMENTED.keys() | others


def test_the_state_of_the_service_needs_the_role_read(client: tuple[str, Asking]) -> None:
    name, ask = client
    expected = {403} if name in ("nobody", "node1") else {200, 404}
    assert {ask("GET", path) for path in OTHERS} <= expected


def test_probes_need_a_certificate_but_no_role(client: tuple[str, Asking]) -> None:
    _, ask = client
    assert [ask("GET", path) for path in PROBES] == [200] * 3
