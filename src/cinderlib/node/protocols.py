"""Which connector serves which protocol. A new protocol is a new file and a line here."""

from __future__ import annotations

import importlib

from cinderlib.errors import Unsupported
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument

_CONNECTORS = {
    "local": "cinderlib.node.local:LocalConnector",
}


def connector(document: ConnectionDocument, settings: HostSettings) -> Connector:
    """The connector for a document.

    :raises Unsupported: this library has none for its protocol.
    :raises InvalidDocument: a field of the connection data is missing or of the wrong type.
    """
    try:
        module, _, name = _CONNECTORS[document.protocol].partition(":")
    except KeyError:
        raise Unsupported(
            f"No way to attach over {document.protocol!r} is known; known are "
            f"{', '.join(sorted(_CONNECTORS))}.",
            resource=document.id,
        ) from None
    kind: type[Connector] = getattr(importlib.import_module(module), name)
    return kind(document, settings)
