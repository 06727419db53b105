"""Discrepancies between store and storage, and their remedies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

#: Applies a remedy.
Act = Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Discrepancy:
    """A difference between store and storage, or an operation that did not complete.

    :ivar problem: ``'orphan'`` (only the storage has it). ``'missing'`` (only the store has it).
        ``'unverified'`` (the driver cannot determine whether the storage has these).
        ``'dangling'`` (its volume is not in the store). ``'interrupted'``. ``'unmapped'`` (a forced
        disconnect or a failed connect may have left its mapping). ``'failed'``. ``'stuck'``.
        ``'left-behind'`` (a connection to the storage before a failover). ``'inconsistent'`` (a
        volume's status does not fit its connections). ``'damaged'`` (a record that cannot be read).
        ``'leftover'`` (an incomplete file of a killed process).
    :ivar kind: ``'volume'``, ``'snapshot'``, ``'connection'``, ``'group'``, ``'group_snapshot'``,
        ``'backend'``, ``'intent'``, ``'key_value'`` or ``'file'``.
    :ivar resource_id: the resource's ID, or empty if it has none. For an interrupted operation, the
        ID of the resource that it changes.
    :ivar name: the name on the storage; of a group or backend, its own name.
    :ivar detail: a description, with advice.
    :ivar remedy: the action that reconciliation can take: ``'repair'``, ``'remove'`` (only if its
        ID is specified), or empty.
    :ivar outcome: ``'found'`` (unchanged), ``'repaired'``, ``'removed'``, ``'skipped'`` (the
        resource changed in the meantime) or ``'failed'``.
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
    """A discrepancy and its remedies.

    :ivar repair: a safe remedy: it only changes resources of this store.
    :ivar remove: a remedy that requires the caller to specify the ID.
    """

    discrepancy: Discrepancy
    repair: Act | None = None
    remove: Act | None = None


class Changed(Exception):
    """The resource changed after the comparison."""
