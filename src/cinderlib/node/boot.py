"""Persistent attachments: volumes that this host attaches again after each boot."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cinderlib.errors import CinderlibError, ConnectionNotFound, NotLocal, Unsupported
from cinderlib.node import lifecycle, protocols
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.persistent import Kept
from cinderlib.records import AttachOptions
from cinderlib.value_checks import check_seconds, shown

if TYPE_CHECKING:
    from cinderlib.node.attachment import Attachment
    from cinderlib.node.base import HostSettings

#: Seconds between two attempts to attach a volume, for example until its array has started.
_PAUSE = 5.0

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class PersistentAttachment:
    """A volume that this host attaches again after each boot.

    :ivar connection_info: the connection document. It can contain keys in clear.
    :ivar link: the symbolic link to the device, if one was requested.
    :ivar attachment: the current attachment, ``None`` if it is not attached.
    :ivar error: why :meth:`PersistentAttachments.attach` could not attach it.
    """

    connection_info: dict[str, Any] = dataclasses.field(repr=False)
    link: str | None = None
    attachment: Attachment | None = None
    error: CinderlibError | None = None


class PersistentAttachments:
    """The persistent attachments of this host: ``node.persistent``.

    Their connection documents, with keys in clear, are in a private folder of the node's state.
    A detach ends the persistence. A controller or a store is not needed.
    """

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._documents = settings.state.persistent

    def add(self, connection_info: Mapping[str, Any] | str) -> bool:
        """Make an attachment persistent: :meth:`attach` attaches it again.

        :param connection_info: the document, or the ID of a connection of this host.
        :returns: whether anything changed.
        :raises NotLocal: it is not attached to this host as a device.
        :raises NodeError: the document cannot be written. The volume is still attached.
        """
        state = self._settings.state
        if isinstance(connection_info, str):
            found = state.find(connection_info)
            if found is None:
                raise ConnectionNotFound(
                    f"No volume is attached on this host for the connection"
                    f" {shown(connection_info)}.",
                    resource=connection_info,
                )
            connection_info = found.document
        document = ConnectionDocument(connection_info)
        key = self._key(document)
        with state.locked(key):
            entry = state.get(key)
            if entry is None or entry.status != "attached":
                raise NotLocal(
                    "The volume is not attached to this host as a device, so it cannot be made"
                    " persistent.",
                    resource=document.id,
                )
            if document.encryption is not None:
                raise Unsupported(
                    "The volume is encrypted, and this host keeps no keys: attach it again after"
                    " each boot with a program that has its key.",
                    resource=document.id,
                )
            return self._documents.put(Kept(key=key, document=entry.document, link=entry.link))

    def remove(self, connection_info: Mapping[str, Any] | str) -> bool:
        """End the persistence of an attachment. It stays attached until the next boot.

        :param connection_info: the document, or the ID of the connection.
        :returns: whether it was persistent.
        """
        if isinstance(connection_info, str):
            kept = self._documents.find(connection_info)
            keys = [kept.key] if kept else []
        else:
            document = ConnectionDocument(connection_info)
            keys = [self._key(document)]
        removed = [self._remove(key) for key in keys]
        return any(removed)

    def _key(self, document: ConnectionDocument) -> str:
        return lifecycle.recorded_key(protocols.connector(document, self._settings))

    def _remove(self, key: str) -> bool:
        with self._settings.state.locked(key):
            return self._documents.remove(key)

    def all(self) -> list[PersistentAttachment]:
        """The persistent attachments, with the current state of their devices."""
        return [self._shown(kept) for kept in self._documents.all()]

    def attach(self, *, wait: float = 0) -> list[PersistentAttachment]:
        """Attach all of them, as after a boot. Existing attachments do not change.

        :param wait: how long to repeat failed attempts, in seconds: an array may start later than
            this host.
        :returns: all of them; ``error`` is set for those that could not be attached.
        :raises NodeError: the folder of their documents cannot be read.
        """
        until = time.monotonic() + check_seconds(wait, "wait")
        pending, found = self._documents.keys(), dict[str, PersistentAttachment]()
        # One by one in this thread: os-brick, imported in another thread, makes its join() hang.
        while True:
            found |= {key: self._attach(key) for key in pending}
            pending = [key for key in pending if found[key].error is not None]
            if not pending or time.monotonic() + _PAUSE > until:
                return list(found.values())
            LOG.warning("Trying again to attach %d persistent volumes", len(pending))
            time.sleep(_PAUSE)

    def _attach(self, key: str) -> PersistentAttachment:
        kept = None
        try:
            kept = self._documents.get(key)
            if kept is None:  # another process has detached it meanwhile
                return PersistentAttachment({})
            document = ConnectionDocument(kept.document)
            attached = lifecycle.attach(document, self._settings, AttachOptions(link=kept.link))
        except CinderlibError as exc:
            known = (kept.document, kept.link) if kept else ({}, None)
            return PersistentAttachment(known[0], link=known[1], error=exc)
        return PersistentAttachment(kept.document, link=kept.link, attachment=attached)

    def _shown(self, kept: Kept) -> PersistentAttachment:
        attachment = None
        with contextlib.suppress(CinderlibError):
            document = ConnectionDocument(kept.document)
            attachment = lifecycle.current(document, self._settings)
        return PersistentAttachment(kept.document, link=kept.link, attachment=attachment)
