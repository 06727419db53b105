"""What reconciliation finds, and what can be done about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

#: Does what a case can have done.
Act = Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something in which store and storage do not agree, or that nobody works on any more.

    :ivar problem: ``'orphan'`` (only the storage has it), ``'missing'`` (only the store has it),
        ``'unverified'`` (the driver cannot tell whether the storage has these),
        ``'dangling'`` (its volume is not in the store), ``'interrupted'``, ``'unmapped'`` (a forced
        disconnect or a failed connect may have left its mapping), ``'failed'``, ``'stuck'``,
        ``'inconsistent'`` (a volume's status and its connections), ``'damaged'`` (a record that
        cannot be read) or ``'leftover'`` (what a killed process left half made).
    :ivar kind: of what it is about: ``'volume'``, ``'snapshot'``, ``'connection'``, ``'intent'``,
        ``'key_value'`` or ``'file'``.
    :ivar resource_id: the id of that, as far as it has one; of an interrupted operation, the id of
        what it works on.
    :ivar name: on the storage, of what is there.
    :ivar detail: what is known of it, and what can be done.
    :ivar remedy: what reconciliation can do about it: ``'repair'``, ``'remove'`` (asked to by its
        id), or nothing.
    :ivar outcome: ``'found'`` (nothing was done), ``'repaired'``, ``'removed'``, ``'skipped'`` (it
        is another by now) or ``'failed'``.
    :ivar reason: why it was skipped or failed.
    """

    problem: str
    kind: str
    backend: str
    resource_id: str = ""
    name: str = ""
    detail: str = ""
    remedy: str = ""
    outcome: str = "found"
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A discrepancy, and what can be done about it.

    :ivar repair: safe whoever asks for it: all that it touches is this store's own.
    :ivar remove: only for who names it by its id.
    """

    discrepancy: Discrepancy
    repair: Act | None = None
    remove: Act | None = None


class Changed(Exception):
    """It is not any more what it was found to be."""
