"""Writes changes to a record on top of those that others write meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cinderlib import errors
from cinderlib.persistence.base import Store
from cinderlib.records import Record, replace

R = TypeVar("R", bound=Record)

#: How often a result is brought onto a record that others change meanwhile.
ATTEMPTS = 20

#: Fields that the store writes.
_OF_THE_STORE = frozenset({"id", "version", "created_at", "updated_at"})


def write_changes(
    store: Store, before: R, after: R, write: Callable[[R], tuple[Record, ...]]
) -> tuple[Record, ...]:
    """Write the fields in which ``after`` differs from ``before``.

    :param write: writes a record; it is called again, with the stored record and these fields, if
        another writer was faster.
    :returns: what ``write`` returned.
    :raises StaleRecord: the record was deleted, or others keep changing it.
    """
    record = after
    for _ in range(ATTEMPTS):
        try:
            return write(record)
        except errors.StaleRecord:
            current = store.get(type(after), after.id)
            if current is None:
                raise
            record = replace(current, **differences(before, after))
    raise errors.StaleRecord(f"Others keep changing {after.id}", resource=after.id)


def differences(before: Record, after: Record) -> dict[str, Any]:
    """The fields in which two records differ, with the second one's values."""
    changed = {}
    for name in after.__struct_fields__:
        value, was = getattr(after, name), getattr(before, name)
        if value is not was and value != was and name not in _OF_THE_STORE:
            changed[name] = value
    return changed
