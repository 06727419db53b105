"""The nodes that are registered in a store: the connector properties of hosts under a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cinderlib import errors, validation, value_checks
from cinderlib.persistence.base import Put, Store
from cinderlib.records import KeyValueRecord


class RegisteredNodes:
    """The nodes of a :class:`cinderlib.Controller`.

    :ivar store: the store with the registrations; each is a key-value.
    """

    store: Store

    def register_node(self, name: str, connector: Mapping[str, Any]) -> bool:
        """Save the connector properties of a host. An existing registration is replaced.

        :param name: of the node, by which :meth:`node` finds it.
        :param connector: as :meth:`cinderlib.Node.connector_properties` on that host returns them.
        :returns: whether the registration changed.
        :raises InvalidConnector: they are not the connector properties of a host.
        """
        value_checks.check_text(name, "node id")
        text = msgspec.json.encode(validation.check_connector(connector)).decode()
        before = self.store.get(KeyValueRecord, name)
        if before is not None and before.reveal() == text:
            return False
        self.store.apply(Put(KeyValueRecord(id=name, value=text), check=False))
        return True

    def node(self, name: str) -> dict[str, Any]:
        """The connector properties of a registered node.

        :raises NotFound: no node is registered under this name.
        :raises InvalidDocument: the key-value with this name contains something else.
        """
        record = self.store.get(KeyValueRecord, value_checks.check_text(name, "node id"))
        if record is None:
            raise errors.NotFound(
                f"No node is registered as {name!r} in the store: run"
                f" `cinderlib node register {name}` on that host",
                resource=name,
            )
        connector = value_checks.json_object(record.reveal() or "")
        if connector is None or "host" not in connector:
            raise errors.InvalidDocument(
                f"Key-value {name!r} in the store is not the connector of a node: run"
                f" `cinderlib node register {name}` on that host again"
            )
        return connector

    def nodes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The registered nodes: name and connector properties. Key-values of other programs are
        omitted.

        :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list key-values.
        """
        for record in self.store.iterate(KeyValueRecord):
            connector = value_checks.json_object(record.reveal() or "")
            if connector is not None and "host" in connector:
                yield record.id, connector
