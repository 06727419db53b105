"""Converts documents to objects of a controller, and saves them in its store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from cinderlib import serialization, validation
from cinderlib.persistence.base import Change, Put
from cinderlib.records import VolumeRecord, replace

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume

#: The input: a document, a list of documents, or the text of either.
Source: TypeAlias = str | bytes | bytearray | Mapping[str, Any] | list[dict[str, Any]]
#: The objects that documents describe.
Loaded: TypeAlias = "Backend | Volume | Snapshot | Connection"


def load(
    controller: Controller, json_src: Source, *, save: bool, trusted: bool, max_bytes: int
) -> Loaded | list[Loaded]:
    """See :meth:`cinderlib.Controller.load`."""
    found = serialization.read(json_src, max_bytes=max_bytes)
    if isinstance(found, list):
        return _load(controller, found, save=save, trusted=trusted)
    return _load(controller, [found], save=save, trusted=trusted)[0]


def _load(
    controller: Controller, found: list[serialization.Document], *, save: bool, trusted: bool
) -> list[Loaded]:
    for document in found:
        options = document.backend_options if trusted else None
        if options and document.backend_name not in controller.backends:
            controller.backend(document.backend_name, **options)
        elif isinstance(document, serialization.BackendDocument):
            controller.loaded(document.backend_name)
    if save:
        for document in found:
            _save(controller, document)
    return [_object(controller, document, saved=save) for document in found]


def _save(controller: Controller, document: serialization.Document) -> None:
    changes: list[Change] = []
    for record in serialization.records_of(document):
        validation.check_id(record.id, record.kind, non_uuid_ids=controller.non_uuid_ids)
        # A volume in the document of a snapshot or connection is only context, and may be outdated.
        context = isinstance(record, VolumeRecord) and isinstance(
            document, serialization.SnapshotDocument | serialization.ConnectionDocument
        )
        if not (context and controller.store.get(VolumeRecord, record.id)):
            changes.append(Put(record, check=False))
    if changes:
        controller.journal.write(*changes, *_notes(controller, document))


def save_new(controller: Controller, documents: Sequence[serialization.VolumeDocument]) -> None:
    """Store volumes that do not exist, with their snapshots and connections, in one transaction.

    :raises StaleRecord: one of the records already exists. Nothing changed.
    """
    changes: list[Change] = []
    for document in documents:
        for record in serialization.records_of(document):
            validation.check_id(record.id, record.kind, non_uuid_ids=controller.non_uuid_ids)
            changes.append(Put(replace(record, version=0)))
    notes = controller.journal.noted_all("volume.load", [each.volume for each in documents])
    controller.journal.write(*changes, *notes)


def _notes(controller: Controller, document: serialization.Document) -> Iterator[Change]:
    """The operations that load the resources of a document, for the history."""
    if isinstance(document, serialization.BackendDocument):
        for volume in document.volumes or ():
            yield from _notes(controller, volume)
    else:
        subject = document.subject
        yield from controller.journal.noted(f"{subject.kind}.load", subject)


def _object(controller: Controller, document: serialization.Document, *, saved: bool) -> Loaded:
    if isinstance(document, serialization.BackendDocument):
        return controller.loaded(document.backend_name)
    record = document.subject
    if saved:
        stored: Loaded = controller.wrap(controller.store.get(type(record), record.id) or record)
        return stored
    loaded: Any = controller.wrap(replace(record, version=0))
    loaded._is_loaded = True
    if record.created_at is not None:
        # A persistence class of cinderlib 5 gets the changed fields of an object compared with
        # this.
        loaded._saved_record = loaded._record
    if isinstance(document, serialization.VolumeDocument):
        loaded._loaded = document
    return cast("Loaded", loaded)
