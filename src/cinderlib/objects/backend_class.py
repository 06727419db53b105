"""The class ``Backend`` as programs for cinderlib 5 use it: attributes and functions of the default
controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from cinderlib import errors

if TYPE_CHECKING:
    from cinderlib.objects import connection, snapshot, volume
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.default_controller import setup
    from cinderlib.objects.documents_in import Source
    from cinderlib.persistence import PersistenceConfig
    from cinderlib.persistence.driver_base import PersistenceDriverBase

T = TypeVar("T")


class _OfController(Generic[T]):
    """An attribute of the backend's controller; on the class, of the default controller."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: BackendClass | None, owner: type[BackendClass]) -> T:
        if instance is not None:
            return cast(T, getattr(instance.controller, self._name))
        from cinderlib.objects import default_controller

        return cast(T, getattr(default_controller.controller(), self._name))


class _IsSetUp:
    def __get__(self, instance: BackendClass | None, owner: type[BackendClass]) -> bool:
        from cinderlib.objects import default_controller

        return default_controller.is_set_up()


class BackendClass:
    """The attributes and functions of the class. On a backend, the attributes are those of the
    controller."""

    #: The loaded backends, by name.
    backends: _OfController[Mapping[str, Backend]] = _OfController("backends")
    #: The store, with the methods of cinderlib 5's persistence drivers.
    persistence: _OfController[PersistenceDriverBase] = _OfController("persistence")
    Volume: _OfController[type[volume.Volume]] = _OfController("Volume")
    Snapshot: _OfController[type[snapshot.Snapshot]] = _OfController("Snapshot")
    Connection: _OfController[type[connection.Connection]] = _OfController("Connection")

    fail_on_missing_backend = _OfController[bool]("fail_on_missing_backend")
    non_uuid_ids = _OfController[bool]("non_uuid_ids")
    output_all_backend_info = _OfController[bool]("output_all_backend_info")
    project_id = _OfController[str | None]("project_id")
    user_id = _OfController[str | None]("user_id")
    #: Whether :func:`cinderlib.setup` was called or the default controller was used.
    global_initialization = _IsSetUp()

    controller: Controller

    if TYPE_CHECKING:
        global_setup = staticmethod(setup)
    else:

        @staticmethod
        def global_setup(*args: object, **kwargs: object) -> None:
            """The same as :func:`cinderlib.setup`."""
            from cinderlib.objects import default_controller

            default_controller.setup(*args, **kwargs)

    @staticmethod
    def set_persistence(persistence_config: PersistenceConfig) -> None:
        """Give the default controller another store. No records are moved: use ``dump`` and
        ``load(..., save=True)``."""
        from cinderlib.objects import default_controller

        default_controller.controller().set_persistence(persistence_config)

    @staticmethod
    def list_supported_drivers(output_version: Literal[1, 2, 3] = 1) -> dict[str, Any]:
        """The same as :func:`cinderlib.list_supported_drivers`."""
        from cinderlib.objects import functions

        return functions.list_supported_drivers(output_version)

    @staticmethod
    def load_backend(backend_data: Mapping[str, Any]) -> Backend:
        """Load a backend of the default controller from its options, including the name.

        Unlike ``load``, this runs the driver named in the data: call it only with trusted data.
        """
        from cinderlib.objects import default_controller

        return default_controller.controller().backend(**backend_data)

    @classmethod
    def load(cls, json_src: Source, save: bool = False, trusted: bool = False) -> Backend:
        """The backend of a document. If it is not loaded, it is loaded with ``trusted``.

        :param save: store the volumes of the document.
        """
        from cinderlib.objects import default_controller

        loaded = default_controller.controller().load(json_src, save=save, trusted=trusted)
        if not isinstance(loaded, cls):
            raise errors.InvalidDocument(
                f"The document describes a {type(loaded).__name__.lower()}, not a backend"
            )
        return loaded
