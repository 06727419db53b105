"""The base of volumes, snapshots and connections: a record, a controller, and unsaved changes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from cinderlib import errors, serialization, value_checks
from cinderlib.objects.documented import Documented
from cinderlib.operations.concurrent_changes import ATTEMPTS, differences
from cinderlib.persistence.base import Change, Put
from cinderlib.records import Record, new_id, now, replace

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.documents_in import Source
    from cinderlib.persistence.driver_base import PersistenceDriverBase

Self = TypeVar("Self", bound="Resource")


class _Named:
    """See :meth:`Resource._named`. A class is faster than a generator, and each operation uses
    it."""

    __slots__ = ("_about",)

    def __init__(self, about: Resource) -> None:
        self._about = about

    def __enter__(self) -> None:
        """Do nothing; only errors need work."""

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, errors.CinderlibError) and error.resource in (None, self._about.id):
            error.resource = self._about


class _OfController:
    """An attribute of the resource's controller; on the class, of the default controller."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Resource | None, owner: type[Resource]) -> Any:
        controller = owner._class_controller() if instance is None else instance._controller
        return getattr(controller, self._name)


class Resource(Documented):
    """Base class of the objects that users hold. They are handles; the store has the data."""

    #: The store, with the methods of cinderlib 5's persistence drivers.
    persistence: ClassVar[PersistenceDriverBase] = _OfController("persistence")  # type: ignore[assignment]
    #: Returns a new random ID.
    new_uuid = staticmethod(new_id)

    _bound: ClassVar[Controller | None] = None
    _kind: ClassVar[type[Record]]
    _not_found: ClassVar[type[errors.NotFound]]

    #: The fields in a repr, in addition to the ID and the backend. None of them can be a secret.
    _shown: ClassVar[tuple[str, ...]]

    _record: Any
    _controller: Controller
    #: Unsaved changes. Most objects in a long list have none.
    _edits: dict[str, Any] | None = None

    #: Whether the last operation through this object changed something; false if the desired state
    #: already existed, ``None`` before the first operation.
    changed: bool | None = None

    #: Whether it comes from a document; the store may already have it.
    _is_loaded = False
    #: When it was deleted or disconnected through this object, otherwise ``None``.
    deleted_at: datetime.datetime | None = None

    def _init(self, controller: Controller, record: Record) -> None:
        self._controller = controller
        self._record = record

    @property
    def _edited(self) -> dict[str, Any]:
        if self._edits is None:
            self._edits = {}
        return self._edits

    @classmethod
    def _class_controller(cls) -> Controller:
        if cls._bound is not None:
            return cls._bound
        from cinderlib.objects import default_controller

        return default_controller.controller()

    # --- common properties ---------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Identifies the resource in the store. Its name on the array is derived from it."""
        return cast(str, self._record.id)

    @property
    def record(self) -> Any:
        """The immutable record that was last read from the store or written to it. It does not
        contain unsaved changes."""
        return self._record

    @property
    def created_at(self) -> datetime.datetime | None:
        """When it was first stored, in UTC; ``None`` before that."""
        return cast("datetime.datetime | None", self._record.created_at)

    @property
    def updated_at(self) -> datetime.datetime | None:
        """When it was last stored, in UTC; ``None`` before that."""
        return cast("datetime.datetime | None", self._record.updated_at)

    @property
    def deleted(self) -> bool:
        """Whether it was deleted or disconnected through this object."""
        return self.deleted_at is not None

    @property
    def is_new(self) -> bool:
        """Whether it is not in the store yet."""
        return bool(self._record.version == 0)

    @property
    def backend(self) -> Backend | Any:
        """The backend of the resource.

        :returns: the loaded backend. If it is not loaded and the controller has
            ``fail_on_missing_backend=False``, the name of the backend.
        :raises BackendNotFound: it is not loaded.
        """
        # The type does not include the name: only programs that request it need to handle it.
        name = cast(str, self._record.backend)
        found = self._controller.backends.get(name)
        if found is not None:
            return found
        if self._controller.fail_on_missing_backend:
            raise errors.BackendNotFound(
                f"Backend {name!r} is not loaded in this controller", resource=name
            )
        return name

    def __repr__(self) -> str:
        shown = {name: getattr(self._record, name) for name in self._shown}
        fields = {"id": self.id, **shown, "backend": self._record.backend}
        return f"<cinderlib.{self._name()} {' '.join(f'{k}={v!r}' for k, v in fields.items())}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resource) or self._kind is not other._kind:
            return NotImplemented
        return self.id == other.id and self._controller is other._controller

    def __hash__(self) -> int:
        return hash((self._kind, self.id))

    @classmethod
    def _name(cls) -> str:
        return cls._kind.kind.capitalize()

    # --- store ---------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read it from the store again. Unsaved changes are lost.

        :raises NotFound: it does not exist any more.
        """
        record = self._controller.store.get(self._kind, self.id)
        if record is None:
            raise self._not_found(
                f"{self._name()} {self.id} does not exist any more", resource=self
            )
        self._adopt(record)

    def save(self) -> None:
        """Write only the fields that were set since it was read.

        Changes of other writers are preserved; for metadata, only the keys that were set or removed
        here change. A resource that is not in the store yet is written completely.

        :raises NotFound: it was deleted meanwhile.
        :raises StaleRecord: it is new, and another resource in the store has the same ID.
        """
        store, journal = self._controller.store, self._controller.journal
        record = self._record
        if self.is_new:
            try:
                pending = self._pending()
                self._adopt(journal.write(Put(pending), *self._noted("load", pending))[0])
            except errors.StaleRecord:
                current = store.get(self._kind, self.id) if self._is_loaded else None
                if current is None:
                    raise
                # Other fields of the document may be outdated.
                record = current
            else:
                return
        for _ in range(ATTEMPTS):
            edited = self._edit(record)
            if edited == record:
                self._adopt(record)
                return
            try:
                changed = _changed(record, edited)
                self._adopt(journal.write(Put(edited), *self._noted("set", record, changed))[0])
            except errors.StaleRecord:
                current = store.get(self._kind, self.id)
                if current is None:
                    raise self._not_found(
                        f"{self._name()} {self.id} was deleted meanwhile", resource=self
                    ) from None
                record = current
            else:
                return
        raise errors.StaleRecord(
            f"{self._name()} {self.id} could not be saved, because other writers keep changing it",
            resource=self,
        )

    def _noted(
        self, verb: str, record: Record, arguments: Mapping[str, Any] | None = None
    ) -> list[Change]:
        """The record in the history of an operation that only writes the store."""
        return self._controller.journal.noted(f"{self._kind.kind}.{verb}", record, arguments)

    def _pending(self) -> Record:
        """Its record with the unsaved changes."""
        return self._edit(self._record)

    def _edit(self, record: Record) -> Record:
        changes = {}
        for name, value in self._edited.items():
            before = getattr(self._record, name)
            if value == before:
                continue
            if isinstance(value, dict):
                changes[name] = _merged(before, value, getattr(record, name))
            else:
                changes[name] = value
        return replace(record, **changes) if changes else record

    def _adopt(self, record: Record) -> None:
        self._record = record
        self._edits = None
        self.deleted_at = None

    def _removed(self, **changes: Any) -> None:
        """Mark it as removed from the store, and change these fields."""
        self._record = replace(self._record, **changes)
        self.deleted_at = now()

    def _named(self) -> _Named:
        """Set the ``resource`` of errors to this object, as programs for cinderlib 5 expect."""
        return _Named(self)

    # --- documents -----------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Its fields as plain data, without secrets."""
        return serialization.to_dict(self._pending())

    def to_json(self, simplified: bool = True) -> dict[str, Any]:
        """A document for ``load``, **with its secrets**.

        :param simplified: leave out related resources.
        """
        document = serialization.to_builtins(
            self._document(related=not value_checks.check_flag(simplified, "simplified"))
        )
        return cast(dict[str, Any], document)

    def to_jsons(self, simplified: bool = True) -> str:
        """:meth:`to_json` as text."""
        return serialization.to_text(
            self._document(related=not value_checks.check_flag(simplified, "simplified"))
        )

    @classmethod
    def load(cls: type[Self], json_src: Source, save: bool = False) -> Self:
        """The resource of a document, of this library or of cinderlib 5.

        It does not import anything that the document names, and loads no backend.

        :param json_src: the result of ``json``, ``jsons``, ``dump`` or ``dumps``.
        :param save: store the resource and the related resources in the document.
        :raises InvalidDocument: it is not a valid document, or describes another kind of resource.
        """
        loaded = cls._class_controller().load(json_src, save=save)
        if not isinstance(loaded, cls):
            raise errors.InvalidDocument(
                f"The document describes a {type(loaded).__name__.lower()}, not a"
                f" {cls._name().lower()}"
            )
        return loaded


def _changed(before: Record, after: Record) -> dict[str, Any]:
    """The changed fields, for the history: names and flags with their values, of dictionaries only
    the keys that changed, because values can be secrets."""
    found: dict[str, Any] = {}
    for name, value in differences(before, after).items():
        if name in ("name", "description") or isinstance(value, bool):
            found[name] = value
        elif isinstance(value, Mapping):
            old = getattr(before, name)
            keys = value.keys() | old.keys() if isinstance(old, Mapping) else value.keys()
            found[name] = sorted(
                key
                for key in keys
                if not isinstance(old, Mapping) or old.get(key) != value.get(key)
            )
        else:
            found[name] = True
    return found


def _merged(
    before: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, Any]:
    merged = {key: value for key, value in theirs.items() if key in mine or key not in before}
    merged.update({k: v for k, v in mine.items() if k not in before or before[k] != v})
    return merged
