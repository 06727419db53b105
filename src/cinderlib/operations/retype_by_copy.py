"""The copy of a volume whose specs or encryption its driver cannot change.

The volume is migrated to it as by :mod:`.migrate_by_copy`, which also recovers an interrupted call:
the new specs belong to the changes in the intent of the migration.
"""

from __future__ import annotations

import dataclasses

from cinderlib.operations import encryption, migrate, migrate_by_copy, one_array, replication
from cinderlib.operations.journal import Journal
from cinderlib.operations.migrate import Destination, Users
from cinderlib.persistence.base import Change
from cinderlib.records import IntentRecord, TypeSpecs, VolumeRecord, replace

#: States in which the data of a volume can be copied.
_STATUSES = ("available", "error_retyping")
#: For refusals.
INSTEAD = (
    "To copy its data to a new volume with the other specs, use `cinderlib volume retype --migrate`"
    " or Volume.retype(..., migrate=True)"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Copy:
    """A copy with other specs, whose creation the caller accepts.

    :ivar volume: before the call.
    :ivar target: its new specs.
    :ivar to: the place of the copy.
    """

    journal: Journal
    volume: VolumeRecord
    users: Users
    target: TypeSpecs
    to: Destination

    @property
    def _size(self) -> int:
        return encryption.size_with(self.volume, self.target.encryption)

    @property
    def _is_encrypted_again(self) -> bool:
        return self.target.encryption != self.volume.encryption

    def refuse_impossible(self) -> None:
        """Refuse a copy that cannot succeed, before any change.

        :raises Busy, InvalidVolume, OutOfRange: as for a migration.
        :raises Unsupported: the copy can be on the array of the volume, whose driver may confuse
            them; or the specs require replication or encryption, and the destination cannot
            have it.
        :raises InvalidPersistence: the store would keep the key of the copy in clear.
        """
        specs = self.target.extra_specs
        placed = replace(migrate.placed(self.volume, self.to), extra_specs=specs)
        one_array.refuse_copy(self.journal, self.volume, self.to.backend)
        info = self.journal.driver(self.to.backend).info
        replication.refuse_impossible(info, placed, "retyped")
        if self._is_encrypted_again and self.target.encryption:
            encryption.refuse_impossible(self.journal, self.to.backend, self.volume.id)
        migrate.refuse_impossible(
            self.journal, self.volume, self.users, self.to, _STATUSES, self._size
        )

    def begin(self, stored: VolumeRecord, undone: VolumeRecord, *others: Change) -> IntentRecord:
        """Record the start of the migration.

        :param stored: the stored record.
        :param undone: the record after an undone migration.
        :param others: changes to store in the same transaction.
        """
        changes = {**self.target.fields(), "size": self._size, "retype_target": None}
        if self._is_encrypted_again:
            changes["applied"] = None  # streams have the encrypted data
        intent = migrate_by_copy.intent(
            self.journal,
            undone,
            backend=self.to.backend,
            host=self.to.host,
            changes=changes,
            arguments={"type": self.target.name or None, "from": self.volume.type_name},
        )
        self.journal.begin_with(intent, migrate.migrating(undone), *others, before=stored)
        return intent
