"""Volumes that are reverted to a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cinderlib import operations, value_checks
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.resource import Resource
from cinderlib.records import VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.snapshot import Snapshot


class RevertedVolume(Resource):
    """The methods of a volume."""

    _record: VolumeRecord

    def revert_blockers(self, snapshot: Snapshot) -> list[Snapshot]:
        """The newer snapshots of the volume that must be deleted before it can be reverted.

        :returns: snapshots, the oldest first; none if the driver keeps newer snapshots.
        :raises SnapshotNotFound: the snapshot is not one of this volume.
        """
        chosen = check_resource(snapshot, self._controller.Snapshot, "snapshot")
        blockers = operations.revert.blockers(self._controller.journal, self.id, chosen.id)
        return [self._controller.wrap(record) for record in blockers]

    def revert_to_snapshot(self, snapshot: Snapshot, *, by_copy: bool = False) -> None:
        """Restore the data of the volume from a snapshot of the volume.

        :param by_copy: attach both to this host and copy the data, instead of the driver's revert.
            All snapshots remain. A safety snapshot is taken first. It is deleted at the end, and
            remains if the copy fails.
        :raises InvalidVolume: it is connected, was extended since, or (without ``by_copy``) has
            newer snapshots, which many drivers would delete; nothing changed.
        :raises Unsupported: the driver has no such operation; nothing changed.
        :raises NodeError: with ``by_copy``, this host cannot attach both, or the copy failed. If
            data was written already, the status is ``'error'``: repeat the call, or revert to the
            safety snapshot, which a note of the error names.
        """
        chosen = check_resource(snapshot, self._controller.Snapshot, "snapshot")
        by_copy = value_checks.check_flag(by_copy, "by_copy")
        journal = self._controller.journal
        with self._named():
            if by_copy:
                with journal.whole_call():
                    record = operations.revert_by_copy.revert(journal, self.id, chosen.id)
            else:
                record = operations.revert.revert(journal, self.id, chosen.id)
            self._adopt(record)
            self.changed = True
