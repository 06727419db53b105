"""Reconciles store and storage: compares first, repairs afterwards.

Both can change during a comparison. So a discrepancy is only reported if a second check confirms it
(:mod:`.comparison`). Repairs hold the volume's lock and check a third time (:mod:`.repairs`).

Volumes on the storage have Cinder's names, so an unknown volume can belong to another store or to
Cinder. It is only removed if the caller specifies its ID.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Set

from cinderlib import errors
from cinderlib.operations.comparison import Comparison
from cinderlib.operations.discrepancies import Case, Changed, Discrepancy
from cinderlib.operations.journal import Journal
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

#: The order of repairs: volumes come after their snapshots and connections. The last three are
#: only reported.
_ORDER = (
    *("intent", "connection", "snapshot", "key_value", "file", "volume"),
    *("group_snapshot", "group", "backend"),
)


def reconcile(
    journal: Journal, backend: str, *, repair: bool = False, remove: Collection[str] = ()
) -> list[Discrepancy]:
    """Compare the records of a backend with its storage.

    :param repair: whether to apply the safe remedies.
    :param remove: IDs of discrepancies to remove. An orphan is deleted from the storage, with its
        data. A missing, dangling or damaged record is removed from the store. IDs that do not
        exist any more are ignored.
    :raises InvalidInput: an ID does not belong to such a discrepancy, so no change happened.
    :raises DriverError: the storage does not respond.
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
                    f"reconcile does not remove {kind.kind} {id}: it is not an orphan and not"
                    " missing, dangling or damaged; delete or disconnect it. No change was made",
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
