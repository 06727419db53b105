"""The volume types of a controller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cinderlib import errors, operations, validation, value_checks
from cinderlib.objects.volume_type import VolumeType, of_specs
from cinderlib.persistence import volume_types as stored_types
from cinderlib.persistence.base import Store
from cinderlib.records import TypeSpecs


def described(
    name: Any, description: Any, extra_specs: Any, qos_specs: Any, encryption: Any
) -> TypeSpecs:
    """A new type from the arguments of a program.

    :raises InvalidInput: an argument is not valid.
    """
    name = check_name(name)
    return TypeSpecs(
        id=stored_types.id_of(name),
        name=name,
        description=validation.check_description(description),
        extra_specs=validation.check_specs({} if extra_specs is None else extra_specs),
        qos_specs=validation.check_qos_specs({} if qos_specs is None else qos_specs),
        encryption=validation.check_encryption({} if encryption is None else encryption),
    )


def check_name(name: Any) -> str:
    """:raises InvalidInput: it is not a name of a type."""
    if isinstance(name, VolumeType):
        return name.name
    if not validation.check_name(name, "name of a volume type"):
        raise errors.InvalidInput("A volume type needs a name")
    return str(name)


def check_changes(specs: Any, what: str) -> dict[str, str | None]:
    """Changes of specs: values, and ``None`` for keys to remove.

    :raises InvalidInput: they are not valid.
    """
    given = value_checks.check_mapping({} if specs is None else specs, what)
    removed = {key: "" for key, value in given.items() if value is None}
    validation.check_metadata(removed, what)
    check = validation.check_qos_specs if what == "qos_specs" else validation.check_specs
    set_ = check({key: value for key, value in given.items() if value is not None}, what)
    return {**set_, **dict.fromkeys(removed)}


class VolumeTypes:
    """The methods of a :class:`cinderlib.Controller`.

    :ivar store: the store with the types; each is a key-value.
    """

    store: Store

    def create_type(
        self,
        name: str,
        *,
        description: str = "",
        extra_specs: Mapping[str, str] | None = None,
        qos_specs: Mapping[str, str] | None = None,
        encryption: Mapping[str, str] | None = None,
    ) -> VolumeType:
        """Add a volume type: a named set of specs for volumes (``create_volume(type=name)``). If a
        type with the same properties exists, nothing changes.

        :param extra_specs: for the driver and for the choice of a backend.
        :param qos_specs: limits; their ``consumer`` is ``'back-end'`` (the storage enforces them;
            the default), ``'front-end'`` (the host does) or ``'both'``.
        :param encryption: hosts encrypt volumes of this type: ``provider`` (``'luks2'`` by default,
            or ``'luks'``), ``cipher``, ``key_size``. It cannot be changed later.
        :raises AlreadyExists: a type with this name has other properties.
        """
        wanted = described(name, description, extra_specs, qos_specs, encryption)
        return of_specs(operations.volume_types.create(self.store, wanted)[0])

    def volume_type(self, name: str) -> VolumeType:
        """The volume type with this name or ID.

        :raises VolumeTypeNotFound: it does not exist.
        """
        return of_specs(operations.volume_types.get(self.store, check_name(name)))

    def type_specs(self, name: str | VolumeType) -> TypeSpecs:
        """The specs of a volume type, as they are copied to a volume.

        :raises VolumeTypeNotFound: it does not exist.
        """
        return operations.volume_types.get(self.store, check_name(name))

    def types(self) -> Iterator[VolumeType]:
        """All volume types, in the order of creation.

        :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list them.
        """
        for each in stored_types.iterate(self.store):
            yield of_specs(each.specs)

    def change_type(
        self,
        name: str,
        *,
        description: str | None = None,
        extra_specs: Mapping[str, str | None] | None = None,
        qos_specs: Mapping[str, str | None] | None = None,
    ) -> VolumeType:
        """Change a volume type. Volumes that have it keep their specs until they are retyped.

        :param description: a new description; by default it stays.
        :param extra_specs: values to set; a key with ``None`` is removed, other keys stay.
        :param qos_specs: the same.
        :raises VolumeTypeNotFound: it does not exist.
        """
        extra, qos = (
            check_changes(extra_specs, "extra_specs"),
            check_changes(qos_specs, "qos_specs"),
        )
        if description is not None:
            validation.check_description(description)
        found, _ = operations.volume_types.change(
            self.store, check_name(name), description, extra, qos
        )
        return of_specs(found)

    def delete_type(self, name: str) -> bool:
        """Delete a volume type. A type that does not exist is not an error.

        :returns: whether it existed.
        :raises InvalidState: volumes have it. Nothing changed.
        """
        return operations.volume_types.delete(self.store, check_name(name))
