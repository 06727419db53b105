"""The version of a store's layout: recorded with a new store, checked for an existing one."""

from __future__ import annotations

from cinderlib.errors import StoreError, StoreNotFound
from cinderlib.persistence.etcd import messages
from cinderlib.persistence.etcd.address import Address, parse
from cinderlib.persistence.etcd.client import Client
from cinderlib.persistence.etcd.layout import VERSION, Layout


def layout_versions(connection: str, *, timeout: float = 30.0) -> tuple[int | None, int]:
    """The version of the layout of a store, None if it does not exist, and the version after the
    store was opened.

    :param connection: as for :class:`~cinderlib.persistence.etcd.store.EtcdStore`.
    :param timeout: likewise.
    :raises InvalidPersistence, MissingDependency, StoreError: likewise.
    """
    address: Address = parse(connection)
    client = Client(address, timeout)
    try:
        found = _layout_version(client, Layout(address.prefix))
    finally:
        client.close()
    return found, max(found or 0, VERSION)


def _layout_version(client: Client, layout: Layout) -> int | None:
    (answer,), _ = client.read(messages.get(layout.version))
    try:
        return int(answer.keys[0].value) if answer.keys else None
    except ValueError:
        raise StoreError(
            f"The store {client} cannot be opened: its prefix is used by another program.",
            retryable=False,
        ) from None


def prepare(client: Client, layout: Layout, *, create: bool) -> None:
    """Create a store, and check the version of an existing one."""
    version = _layout_version(client, layout)
    if version is None:
        if not create:
            raise StoreNotFound(f"The store {client} does not exist yet.")
        absent = messages.modified_is(layout.version, 0)
        client.transaction([absent], [messages.put(layout.version, b"%d" % VERSION)], [])
    elif version > VERSION:
        raise StoreError(
            f"The store {client} was written by a newer version of cinderlib (layout {version})."
            f" This version supports layout {VERSION}. Upgrade cinderlib on this host.",
            retryable=False,
        )
