"""The attributes of volumes, snapshots and connections that are kept in their record."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Never, TypeAlias, TypeVar, cast, overload

if TYPE_CHECKING:
    from cinderlib.objects.resource import Resource

#: Checks a value that messages call by a name, and converts it to the type that records have.
Check: TypeAlias = Callable[[Any, str], Any]

T = TypeVar("T")


class Field(Generic[T]):
    """An attribute of an object that is kept in its record. Operations change it, users cannot.

    :param doc: the text for ``help()``.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> typing.Self: ...

    @overload
    def __get__(self, instance: Resource, owner: type) -> T: ...

    def __get__(self, instance: Resource | None, owner: type) -> typing.Self | T:
        if instance is None:
            return self
        if instance._edits and self._name in instance._edits:
            return cast(T, instance._edits[self._name])
        value = getattr(instance._record, self._name)
        if isinstance(value, dict):
            # A copy, so that it can be changed in place before save() as in cinderlib 5.
            value = instance._edited[self._name] = copy.deepcopy(value)
        return cast(T, value)

    # The type makes type checkers refuse an assignment. Without this method, an assignment would
    # hide the field behind an attribute of the instance.
    def __set__(self, instance: Resource, value: Never) -> None:
        raise AttributeError(f"{self._name} cannot be set: operations change it")


class EditableField(Field[T]):
    """A field that users can set. ``save()`` writes it.

    :param check: checks a value, which messages call by the field's name, and converts it to the
        field's type.
    """

    def __init__(self, doc: str, check: Callable[[Any, str], T]) -> None:
        super().__init__(doc)
        self._check = check

    def __set__(self, instance: Resource, value: T) -> None:
        instance._edited[self._name] = self._check(value, self._name)
