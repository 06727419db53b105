"""What the service does for requests that connect and attach snapshots; see :mod:`.verbs`."""

from __future__ import annotations

from typing import Any

from cinderlib.service import lookup, requests
from cinderlib.service.connection_verbs import connector_of, shown_connection
from cinderlib.service.verb_request import Request, shown


def connect_snapshot(request: Request[requests.ConnectSnapshot]) -> dict[str, Any]:
    """Map a snapshot for a host, read-only; the answer has the keys that the host needs."""
    connector = connector_of(request)
    snapshot = request.of_loaded(lookup.snapshot(request, request.id))
    connection = snapshot.connect(connector, **request.body.given("connector", "node"))
    return shown_connection(
        request.controller.with_key(connection.record),
        keys=True,
        changed=connection.changed,
        connection_info=connection.connection_info,
    )


def attach_snapshot(request: Request[requests.AttachSnapshot]) -> dict[str, Any]:
    """Attach a snapshot to the host of the service, read-only."""
    link = request.body.link
    fields = request.body.given("link")
    if isinstance(link, str):
        fields["link"] = request.backends.check_link(link)
    snapshot = request.of_loaded(lookup.snapshot(request, request.id))
    connection = snapshot.attach(**fields)
    record = request.controller.with_key(connection.record)
    return shown_connection(record, keys=True, changed=connection.changed)


def detach_snapshot(request: Request[requests.Force]) -> dict[str, Any]:
    """Detach a snapshot from the host of the service and disconnect it."""
    snapshot = request.of_loaded(lookup.snapshot(request, request.id))
    snapshot.detach(force=request.body.force, ignore_errors=request.body.ignore_errors)
    return shown(snapshot.record, changed=snapshot.changed)
