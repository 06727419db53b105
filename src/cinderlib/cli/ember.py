"""Reads the custom resources of Ember-CSI, as ``kubectl get -o json`` writes them.

Each resource of the kinds Volume, Snapshot and Connection has the JSON document of cinderlib 5 in
an annotation. It has only the resource itself, so a volume is put together from several of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from cinderlib import errors, serialization
from cinderlib.csi.ids import DRIVER, NAME
from cinderlib.records import ConnectionRecord, SnapshotRecord, replace
from cinderlib.value_checks import shown

#: The group of the resources in Kubernetes.
GROUP = "ember-csi.io"
#: The longest file in bytes; each volume has about 4 KiB.
_LONGEST = 1 << 30
_KINDS = {
    "Volume": serialization.VolumeDocument,
    "Snapshot": serialization.SnapshotDocument,
    "Connection": serialization.ConnectionDocument,
}


def read(file: IO[bytes], driver: str) -> Iterator[serialization.VolumeDocument]:
    """The volumes in a file, with their snapshots.

    :param driver: the name of the CSI plug-in that manages them from now on.
    :raises InvalidDocument: the file is not valid, or incomplete.
    :raises InvalidState: a volume is attached.
    """
    volumes: dict[str, serialization.VolumeDocument] = {}
    snapshots: dict[str, list[SnapshotRecord]] = {}
    connections: list[ConnectionRecord] = []
    for name, kind, text in _items(file):
        found = _document(name, kind, text)
        if isinstance(found, serialization.VolumeDocument):
            if found.volume.status != "deleted":
                volumes[found.volume.id] = found
        elif isinstance(found, serialization.SnapshotDocument):
            snapshots.setdefault(found.snapshot.volume_id, []).append(found.snapshot)
        elif isinstance(found, serialization.ConnectionDocument):
            connections.append(found.connection)
    _check(volumes, snapshots, connections)
    for id, document in volumes.items():
        own = sorted(snapshots.get(id, []), key=lambda each: (str(each.created_at), each.id))
        yield replace(
            document,
            volume=_managed(document.volume, driver),
            snapshots=[_managed(each, driver) for each in own],
            connections=[],
        )


def _managed(record: Any, driver: str) -> Any:
    """The record with the metadata of the CSI plug-in."""
    return replace(record, metadata={**record.metadata, NAME: record.name, DRIVER: driver})


def _items(file: IO[bytes]) -> Iterator[tuple[str, str, str]]:
    """The name, kind and document of each resource."""
    data = file.read(_LONGEST + 1)
    try:
        found = json.loads(data) if len(data) <= _LONGEST else None
    except (ValueError, RecursionError):
        found = None
    items = found.get("items") if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise errors.InvalidDocument(
            "The file is not a list of Kubernetes resources. Write it with"
            f" `kubectl get volumes.{GROUP},snapshots.{GROUP},connections.{GROUP} -o json`"
        )
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict) or not str(item.get("apiVersion")).startswith(GROUP + "/"):
            raise errors.InvalidDocument(f"Item {number} is not a resource of Ember-CSI ({GROUP})")
        kind = item.get("kind")
        if kind == "KeyValue":
            continue  # the properties of a node, which the nodes of cinderlib send themselves
        metadata = item.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        annotations = metadata.get("annotations")
        text = annotations.get("json") if isinstance(annotations, dict) else None
        if kind not in _KINDS or not isinstance(text, str):
            raise errors.InvalidDocument(
                f"Item {number} ({shown(kind)}) has no document in metadata.annotations.json"
            )
        yield str(metadata.get("name")), str(kind), text


def _document(name: str, kind: str, text: str) -> Any:
    try:
        found: Any = serialization.read(text)
    except errors.InvalidDocument as exc:
        raise errors.InvalidDocument(f"{kind} {shown(name)}: {exc}") from None
    expected: type = _KINDS[kind]
    if not isinstance(found, expected):
        raise errors.InvalidDocument(f"{kind} {shown(name)} has a document of another kind")
    return found


def _check(
    volumes: Mapping[str, serialization.VolumeDocument],
    snapshots: Mapping[str, list[SnapshotRecord]],
    connections: list[ConnectionRecord],
) -> None:
    for id, found in snapshots.items():
        if id not in volumes:
            raise errors.InvalidDocument(
                f"Snapshot {found[0].id} belongs to volume {id}, which is not in the file"
            )
    attached = [each for each in connections if each.volume_id in volumes]
    if attached:
        shown_ids = ", ".join(
            f"{each.volume_id} ({each.attached_host or 'unknown node'})" for each in attached[:5]
        )
        raise errors.InvalidState(
            f"{len(attached)} volumes are attached by Ember-CSI: {shown_ids}. Stop the workloads"
            " that use them, wait until Kubernetes has no VolumeAttachment of them, and write the"
            " file again"
        )
