"""The attachments of this host as arguments and items of ``cinderlib node``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.cli import documents, find
from cinderlib.cli.app import App
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    import cinderlib as cl


def of_attachment(attachment: cl.Attachment) -> dict[str, Any]:
    """The properties of an attachment, without keys."""
    return {
        **_of_document(attachment.connection_info),
        "path": attachment.path,
        "file_format": attachment.file_format,
        "multipath_id": attachment.multipath_id,
        "scsi_wwn": attachment.scsi_wwn,
        "state": attachment.state,
        "cgroup": attachment.cgroup,
    }


def _of_document(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": document.get("id"),
        "volume_id": document.get("volume", {}).get("id"),
        "protocol": document["conn"]["driver_volume_type"],
        "qos_specs": document["conn"]["data"].get("qos_specs") or {},
    }


def listed(node: cl.Node, *, persistent_only: bool) -> Iterator[dict[str, Any]]:
    """The items of `node list`.

    :param persistent_only: only those that return after a boot, attached or not.
    """
    persistent = node.persistent.all()
    if persistent_only:
        for each in persistent:
            if each.attachment is not None:
                yield {**of_attachment(each.attachment), "persistent": True}
            else:
                yield {**_of_document(each.connection_info), "state": "gone", "persistent": True}
        return
    paths = {each.attachment.path for each in persistent if each.attachment is not None}
    for attachment in node.attachments():
        yield {**of_attachment(attachment), "persistent": attachment.path in paths}


def document(app: App, named: str, rule: find.Rule = find.ANY) -> dict[str, Any]:
    """The connection document of the attachment on this host for an argument."""
    if named == "-":
        return documents.read(sys.stdin.buffer)
    return _found(app, named, rule)[0]


def path(app: App, named: str) -> str:
    """The device of an attachment on this host for an argument.

    :raises DeviceUnavailable: it is persistent, but not attached.
    """
    found, device = _found(app, named, find.ANY)
    if not isinstance(device, str):
        raise errors.DeviceUnavailable(
            f"The volume {shown(named)} is not attached now; attach it with `cinderlib node"
            " attach-all`",
            resource=found.get("id"),
        )
    return device


def _found(app: App, named: str, rule: find.Rule) -> tuple[dict[str, Any], Any]:
    """The document and the device of an attachment; the device is ``None`` for one that did not
    return after the boot."""
    known = [(each.connection_info, each.path) for each in app.node.attachments()]
    attached = [document.get("id") for document, _ in known]
    known += [
        (each.connection_info, None)
        for each in app.node.persistent.all()
        if each.attachment is None and each.connection_info.get("id") not in attached
    ]
    found = [(d, path) for d, path in known if named in (path, *_ids(d))]
    hint = ""
    if not found:
        ids, hint = find.beginning({id for d, _ in known for id in _ids(d)}, named, rule)
        found = [(d, path) for d, path in known if not _ids(d).isdisjoint(ids)]
    if not found:
        raise errors.ConnectionNotFound(
            f"No attachment on this host matches {shown(named)}{hint}. `cinderlib node list` lists"
            " the attached volumes",
            resource=named,
        )
    if len(found) > 1:
        raise errors.InvalidInput(
            f"{len(found)} attachments match {shown(named)}; specify one by its device"
        )
    return found[0]


def _ids(document: dict[str, Any]) -> set[str]:
    """The IDs of the connection and of the volume."""
    return {id for id in (document.get("id"), document.get("volume", {}).get("id")) if id}


def label(document: dict[str, Any] | str, named: str) -> str:
    """The argument and the complete ID of an attachment, for a confirmation."""
    if isinstance(document, str):
        return named
    id = document.get("volume", {}).get("id") or document.get("id")
    return f"{named} (volume {id})" if id and id != named else named
