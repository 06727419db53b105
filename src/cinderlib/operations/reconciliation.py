"""Store and storage brought to agree: looked at first, acted upon afterwards.

What is looked at changes meanwhile. So a suspicion counts when it holds at a second look
(:mod:`.comparison`), and what is done is done under the lock of its volume, after a third
(:mod:`.repairs`).

Names on the storage are Cinder's, so a volume that this store does not know can be another store's,
or a Cinder's, and its name proves nothing. It is removed for who names its id, and never by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Set

from cinderlib import errors
from cinderlib.operations.comparison import Comparison
from cinderlib.operations.discrepancies import Case, Changed, Discrepancy
from cinderlib.operations.journal import Journal
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

#: What is acted upon in which order: volumes go after what they have.
_ORDER = ("intent", "connection", "snapshot", "key_value", "file", "volume")


def reconcile(
    journal: Journal, backend: str, *, repair: bool = False, remove: Collection[str] = ()
) -> list[Discrepancy]:
    """Compare the records of a backend with its storage.

    :param repair: whether what is safe is put right.
    :param remove: ids of discrepancies that are to be removed: an orphan from the storage, with its
        data; a record that is missing, dangling or damaged from the store. An id that is nowhere
        any more is no error.
    :raises InvalidInput: an id to be removed is not of such a discrepancy; nothing was done.
    :raises DriverError: the storage does not answer.
    """
    wanted = frozenset(remove)
    cases = Comparison(journal, backend).cases()
    _refuse_others(journal, wanted, cases)
    cases.sort(key=lambda case: _ORDER.index(case.discrepancy.kind))
    return [_acted(case, wanted, repair=repair) for case in cases]


def _refuse_others(journal: Journal, wanted: Set[str], cases: Collection[Case]) -> None:
    removable = {case.discrepancy.resource_id for case in cases if case.remove is not None}
    for id in sorted(wanted - removable):
        for kind in (VolumeRecord, SnapshotRecord, ConnectionRecord):
            if journal.store.get(kind, id) is not None:
                raise errors.InvalidInput(
                    f"The {kind.kind} {id} is no orphan and not missing, dangling or damaged, so"
                    " reconcile does not remove it: delete or disconnect it. Nothing was done",
                    resource=id,
                )


def _acted(case: Case, wanted: Collection[str], *, repair: bool) -> Discrepancy:
    discrepancy = case.discrepancy
    if case.remove is not None and discrepancy.resource_id in wanted:
        act, outcome = case.remove, "removed"
    elif case.repair is not None and repair:
        act, outcome = case.repair, "repaired"
    else:
        return discrepancy
    reason = ""
    try:
        act()
    except (Changed, errors.Busy) as exc:
        outcome, reason = "skipped", str(exc)
    except errors.CinderlibError as exc:
        outcome, reason = "failed", str(exc)
    return dataclasses.replace(discrepancy, outcome=outcome, reason=reason)
