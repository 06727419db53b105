"""The link and the limits of an attached device; the key of the entry is locked."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import msgspec

from cinderlib.errors import Unsupported
from cinderlib.node import cgroups, file_format, links
from cinderlib.records import AttachOptions

if TYPE_CHECKING:
    from cinderlib.node.attachment import Attachment
    from cinderlib.node.base import Connector, HostSettings
    from cinderlib.node.document import ConnectionDocument
    from cinderlib.node.state import Entry


def check(link: object, cgroup: object) -> AttachOptions:
    """The options of a program.

    :param link: the path of a symbolic link to the device, or ``None``.
    :param cgroup: the path of a control group, or ``None``.
    :raises InvalidInput: a path is not absolute or not in normal form.
    """
    return AttachOptions(
        link=None if link is None else links.check(link),
        cgroup=None if cgroup is None else links.check(cgroup, "cgroup"),
    )


def refuse_unusable(options: AttachOptions) -> None:
    """Check that this host can apply the options, before a volume is mapped.

    :raises InvalidInput, Unsupported: the control group cannot have limits.
    """
    if options.cgroup is not None:
        cgroups.refuse_unusable(options.cgroup)


def choose(
    document: ConnectionDocument, options: AttachOptions, earlier: Entry | None
) -> AttachOptions:
    """The requested options, or those of an earlier attach. A control group of that one can have
    been removed.

    :raises InvalidInput, Unsupported: the requested control group cannot have limits.
    :raises InvalidDocument: the limits of the volume are not valid.
    :raises InvalidVolume: a link is requested, whose readers expect a device or raw data, to a file
        of another format.
    """
    if options.link is not None:
        file_format.refuse_others(document.data, document.volume_id)
    link, cgroup = options.link or (earlier.link if earlier else None), options.cgroup
    refuse_unusable(options)
    former = earlier.cgroup if earlier else None
    if cgroup is None and former is not None and os.path.isdir(former):
        cgroup = former
    if cgroup is not None:
        cgroups.limits(document)
    return AttachOptions(link=link, cgroup=cgroup)


def change(
    entry: Entry,
    attached: Attachment,
    document: ConnectionDocument,
    options: AttachOptions,
    connector: Connector,
) -> Attachment:
    """Give an attached device its link and its limits, in place of earlier ones.

    :param document: the newest one, whose limits can differ from those of the entry.
    :param connector: of the entry.
    """
    chosen = choose(document, options, entry)
    if chosen == AttachOptions():
        return attached
    path = _path(attached.path, connector)
    if entry.link not in (None, chosen.link):
        links.remove(str(entry.link), path)
    if entry.cgroup != chosen.cgroup:
        clear(entry, connector.settings)
    if (entry.link, entry.cgroup) != (chosen.link, chosen.cgroup):
        limited = entry.limited if entry.cgroup == chosen.cgroup else None
        entry = msgspec.structs.replace(
            entry, link=chosen.link, cgroup=chosen.cgroup, limited=limited
        )
        connector.settings.state.put(entry)
    entry = record_limited(entry, path, document, connector)
    apply(entry, path, document, connector)
    return dataclasses.replace(attached, cgroup=chosen.cgroup)


def record_limited(
    entry: Entry, device: Any, document: ConnectionDocument, connector: Connector
) -> Entry:
    """Record the device that is limited next, so that its limits are removed after a crash."""
    if entry.cgroup is None or not cgroups.limits(document):
        return entry
    limited = cgroups.device_of(_path(device, connector))
    if entry.limited != limited:
        entry = msgspec.structs.replace(entry, limited=limited)
        connector.settings.state.put(entry)
    return entry


def apply(entry: Entry, device: Any, document: ConnectionDocument, connector: Connector) -> None:
    """Create the link and set the limits of an entry."""
    if entry.cgroup is not None and entry.limited is not None:
        helper = connector.settings.root_helper
        cgroups.limit(entry.cgroup, entry.limited, cgroups.limits(document), root_helper=helper)
    if entry.link is not None:
        links.create(entry.link, _path(device, connector))


def remove(entry: Entry, device: Any, settings: HostSettings) -> None:
    """Remove the link and the limits of an entry.

    :param device: its path, if it is known.
    """
    if entry.link is not None:
        links.remove(entry.link, device)
    clear(entry, settings)


def clear(entry: Entry, settings: HostSettings) -> None:
    """Remove the limits of an entry."""
    if entry.cgroup is not None and entry.limited is not None:
        cgroups.clear(entry.cgroup, entry.limited, root_helper=settings.root_helper)


def _path(device: Any, connector: Connector) -> str:
    if not isinstance(device, str):
        raise Unsupported(
            "The volume has no device on this host that can have a link or limits: this process has"
            " it as a handle.",
            resource=connector.document.id,
        )
    return device
