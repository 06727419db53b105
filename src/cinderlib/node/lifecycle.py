"""The steps of attach and detach on this host: record the intent, check, act, check, record."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cinderlib.errors import (
    AlreadyExists,
    CinderlibError,
    DeviceInUse,
    DeviceUnavailable,
    LeftoverDevice,
)
from cinderlib.node import block, device_options, protocols
from cinderlib.node.attachment import Attachment, DeviceState
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument, check_device
from cinderlib.node.persistent import Kept
from cinderlib.node.state import Entry
from cinderlib.records import AttachOptions

#: How long the kernel may take to remove a device, in seconds.
_GONE_TIMEOUT = 5.0

LOG = logging.getLogger(__name__)


def attachment(
    document: ConnectionDocument,
    device: dict[str, Any],
    *,
    changed: bool = False,
    state: DeviceState = "ok",
    cgroup: str | None = None,
) -> Attachment:
    """The result of an attach, for the caller."""
    return Attachment(
        path=device["path"],
        device=device,
        connection_info=document.with_device(device),
        multipath_id=device.get("multipath_id"),
        scsi_wwn=device.get("scsi_wwn"),
        state=state,
        cgroup=cgroup,
        changed=changed,
    )


def attach(
    document: ConnectionDocument, settings: HostSettings, options: AttachOptions
) -> Attachment:
    """See :meth:`cinderlib.node.Node.attach`."""
    connector, state = protocols.connector(document, settings), settings.state
    with state.locked(connector.key):
        earlier = state.get(connector.key)
        if earlier and (attached := _still_attached(document, earlier, settings)):
            existing = as_attached(earlier, settings)
            return device_options.change(earlier, attached, document, options, existing)
        chosen = device_options.choose(document, options, earlier)
        if earlier:
            device_options.clear(earlier, settings)
        # A device of an interrupted attach is used again, so the earlier survey is kept.
        entry = Entry(
            key=connector.key,
            document=document.recorded(),
            before=earlier.before if earlier else connector.survey(),
            link=chosen.link,
            cgroup=chosen.cgroup,
        )
        state.put(entry)
        device: dict[str, Any] | None = None
        try:
            device = connector.attach(entry.before)
            connector.protect(device)
            connector.verify(device)
            entry = device_options.record_limited(entry, device["path"], document, connector)
            device_options.apply(entry, device["path"], document, connector)
        except BaseException:
            with contextlib.suppress(CinderlibError):
                detach_device(connector, device or connector.find_interrupted(entry), entry)
            raise
        if connector.outlives_process(device):
            traces = connector.traces(device)
            state.put(
                msgspec.structs.replace(entry, status="attached", device=device, traces=traces)
            )
            _renew_persistent(entry, settings)
        else:
            state.remove(entry.key)
        return attachment(document, device, changed=True, cgroup=chosen.cgroup)


def attached(
    document: ConnectionDocument, settings: HostSettings, options: AttachOptions
) -> Attachment | None:
    """See :meth:`cinderlib.node.Node.attached`."""
    connector, state = protocols.connector(document, settings), settings.state
    with state.locked(connector.key):
        earlier = state.get(connector.key)
        there = _still_attached(document, earlier, settings) if earlier else None
        if earlier is None or there is None:
            return None
        existing = as_attached(earlier, settings)
        return device_options.change(earlier, there, document, options, existing)


def detach(
    document: ConnectionDocument,
    settings: HostSettings,
    *,
    device: Mapping[str, Any] | None,
    force: bool,
    ignore_errors: bool,
) -> bool:
    """See :meth:`cinderlib.node.Node.detach`."""
    with _known(document, settings, device) as (connector, known, entry):
        try:
            detach_device(connector, known, entry, force=force, ends=True)
        except CinderlibError:
            if not (force and ignore_errors):
                raise
            LOG.warning("Errors while detaching %r are ignored", document, exc_info=True)
        return bool(known or entry)


def extend(
    document: ConnectionDocument, settings: HostSettings, *, device: Mapping[str, Any] | None
) -> int | None:
    """See :meth:`cinderlib.node.Node.extend`; ``None`` if it is not attached."""
    with _known(document, settings, device) as (connector, known, _):
        return connector.extend(known) if known else None


def attachments(settings: HostSettings) -> Iterator[Attachment]:
    """See :meth:`cinderlib.node.Node.attachments`."""
    for entry in settings.state.entries():
        if entry.status == "attached" and entry.device:
            connector = as_attached(entry, settings)
            state = connector.look(entry.device)
            yield attachment(connector.document, entry.device, state=state, cgroup=entry.cgroup)


def current(document: ConnectionDocument, settings: HostSettings) -> Attachment | None:
    """See :meth:`cinderlib.node.Node.attachment`."""
    entry = settings.state.get(recorded_key(protocols.connector(document, settings)))
    if entry is None or entry.status != "attached" or not entry.device:
        return None
    connector = as_attached(entry, settings)
    now = connector.look(entry.device)
    return attachment(connector.document, entry.device, state=now, cgroup=entry.cgroup)


def look(
    document: ConnectionDocument, settings: HostSettings, device: dict[str, Any]
) -> DeviceState:
    """The current state of a device that is recorded elsewhere, not in this host's state."""
    return protocols.connector(document, settings).look(device)


def as_attached(entry: Entry, settings: HostSettings) -> Connector:
    """The connector of an entry, with the settings at the time when the entry was written."""
    return protocols.connector(ConnectionDocument(entry.document), settings)


@contextlib.contextmanager
def _known(
    document: ConnectionDocument, settings: HostSettings, device: Mapping[str, Any] | None
) -> Iterator[tuple[Connector, dict[str, Any] | None, Entry | None]]:
    """The connection with its original settings, and its device. This host's record has priority
    over the arguments."""
    connector = protocols.connector(document, settings)
    key = recorded_key(connector)
    with settings.state.locked(key):
        entry = settings.state.get(key)
        if entry:
            connector = as_attached(entry, settings)
        known = (entry and entry.device) or device or document.device
        if known is document.device and known is not None:
            known = check_device(known)
        if entry and not known:
            known = connector.find_interrupted(entry)
        yield connector, dict(known) if known else None, entry


def recorded_key(connector: Connector) -> str:
    """The key of the recorded connection. It can differ from the connector's if a link on the path
    was changed."""
    document, state = connector.document, connector.settings.state
    if document.id and state.get(connector.key) is None:
        found = state.find(document.id)
        if found is not None and found.document.get("conn") == document.recorded()["conn"]:
            return found.key
    return connector.key


def _renew_persistent(entry: Entry, settings: HostSettings) -> None:
    """The next boot attaches it with the newest document: its keys may have changed."""
    persistent = settings.state.persistent
    try:
        if persistent.get(entry.key) is not None:
            persistent.put(Kept(key=entry.key, document=entry.document, link=entry.link))
    except CinderlibError as exc:
        LOG.warning("The persistent attachment is not renewed: %s", exc)


def _still_attached(
    document: ConnectionDocument, entry: Entry, settings: HostSettings
) -> Attachment | None:
    if entry.status != "attached" or not entry.device:
        return None
    existing = as_attached(entry, settings)
    try:
        if entry.traces and not entry.traces[0].exists():
            raise DeviceUnavailable(
                f"/dev/{entry.traces[0].name} was removed or is another device now"
            )
        existing.verify(entry.device)
    except CinderlibError as exc:
        LOG.warning("The attached device is not usable any more (%s); attaching it again", exc)
        return None
    if existing.document.mode != document.mode:
        raise AlreadyExists(
            f"The volume is already attached {existing.document.mode!r}; detach it before you "
            f"attach it {document.mode!r}.",
            resource=document.id,
            differences={"attach_mode": (existing.document.mode, document.mode)},
        )
    return attachment(existing.document, entry.device)


def detach_device(
    connector: Connector,
    device: dict[str, Any] | None,
    entry: Entry | None,
    *,
    force: bool = False,
    ends: bool = False,
) -> None:
    """:param ends: a user detaches it, so it must not be attached again after a boot. The others
    undo a failed attach."""
    state = connector.settings.state
    if device and connector.look(device) == "another":
        LOG.warning("%s is another device now, and is not touched", device["path"])
        device = None
    if device and not force and (users := connector.users(device)):
        raise DeviceInUse(
            f"{device['path']} is used by {', '.join(users)}.", resource=connector.document.id
        )
    if ends:
        for key in {connector.key, entry.key if entry else connector.key}:
            state.persistent.remove(key)
    if entry:
        traces = entry.traces or (connector.traces(device) if device else [])
        device = device if device is None or connector.outlives_process(device) else None
        entry = msgspec.structs.replace(entry, status="detaching", device=device, traces=traces)
        state.put(entry)
        device_options.remove(entry, device["path"] if device else None, connector.settings)
    connector.detach(device, force=force)
    if entry:
        written = entry
        block.wait(lambda: not connector.remains(written), timeout=_GONE_TIMEOUT)
        if remains := connector.remains(written):
            raise LeftoverDevice(
                f"The volume was detached, but this host still has: {', '.join(remains)}.",
                resource=connector.document.id,
            )
        state.remove(entry.key)
