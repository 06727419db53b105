"""Retype: an existing volume gets other extra specs and QoS specs, or another encryption.

The driver changes the volume if it can. Otherwise, the volume is migrated to a copy with the other
specs, if the caller accepts that.
"""

from __future__ import annotations

import logging

from cinderlib import errors
from cinderlib.operations import (
    capabilities,
    encryption,
    migrate,
    migrate_by_copy,
    replication,
    volume_types,
    volumes,
)
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.migrate import Destination
from cinderlib.operations.refusals import (
    is_refusal,
    is_the_drivers,
    refuse_migrating,
    refuse_temporary,
)
from cinderlib.operations.retype_by_copy import INSTEAD, Copy
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Remove
from cinderlib.records import IntentRecord, TypeSpecs, VolumeRecord, replace

LOG = logging.getLogger(__name__)

#: States in which a volume can be retyped.
_RETYPABLE = frozenset({"available", "in-use", "error_retyping"})
_REFUSED = "the driver refused this change of specs"


def retype(
    journal: Journal, volume_id: str, target: TypeSpecs, to: Destination | None = None
) -> tuple[VolumeRecord, bool]:
    """Give a volume the specs of a type, or own specs.

    :param target: the specs; own specs have the volume's ID.
    :param to: where the driver creates a copy with the specs, if it cannot change the volume. It is
        called within :meth:`Journal.whole_call` then. Without it, the data is not copied.
    :returns: the record, and whether it was changed by this call.
    :raises InvalidVolume: its status does not allow it, or its data must be copied, and it is
        connected or has snapshots; nothing changed.
    :raises Unsupported: the driver cannot do it for this volume; nothing changed.
    :raises DriverError: the storage failed. The status is ``'error_retyping'``: the volume can be
        used, and the storage has its old or its new specs.
    :raises NodeError: this host cannot attach both volumes, or the copy failed. The volume stays
        as it was.
    """
    if to is not None:
        migrate.settle_earlier(journal, volume_id)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        if to is None:
            volume, copy = volumes.get(journal, volume_id), None
        else:
            volume, users = migrate.look(journal, volume_id)
            copy = Copy(journal, volume, users, target, to)
        refuse_temporary(volume, "retyped")
        refuse_migrating(volume, "retyped")
        is_there = to is None or to.has(volume)
        failed_before = volume.retype_target is not None
        if is_there and not failed_before and TypeSpecs.of(volume).fields() == target.fields():
            return volume, False
        if volume.status not in _RETYPABLE:
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be retyped: it is '{volume.status}'",
                resource=volume_id,
            )
        if copy is None:
            encryption.refuse_change(volume, target, INSTEAD)
            _refuse_without_driver(journal, volume, target)
        if is_there and _is_by_driver(journal, volume, target):
            retyped, copying = _by_driver(journal, volume, target, copy)
            if copying is None:
                return retyped, True
        else:
            assert copy is not None
            copy.refuse_impossible()
            copying = copy.begin(volume, volume)
    return migrate_by_copy.run(journal, copying), True


def _is_by_driver(journal: Journal, volume: VolumeRecord, target: TypeSpecs) -> bool:
    """Whether the driver is called. Types with the same specs need no method."""
    if volume.encryption != target.encryption:
        return False
    needs_driver = volume.retype_target is not None or _differ(volume, target)
    driver = journal.driver(volume.backend)
    return not needs_driver or capabilities.is_native(driver, "volume.retype")


def _refuse_without_driver(journal: Journal, volume: VolumeRecord, target: TypeSpecs) -> None:
    """:raises Unsupported: the driver cannot retype volumes. Nothing changed."""
    if not _is_by_driver(journal, volume, target):
        reason = capabilities.reason(journal.driver(volume.backend), "volume.retype")
        raise errors.Unsupported(
            f"Backend {volume.backend!r} cannot retype volumes in place: {reason}. No change was"
            f" made. {INSTEAD}",
            resource=volume.id,
        )


def _by_driver(
    journal: Journal, volume: VolumeRecord, target: TypeSpecs, copy: Copy | None
) -> tuple[VolumeRecord, IntentRecord | None]:
    """Let the driver retype a volume, whose lock is held.

    :param copy: the copy, if the caller accepts one.
    :returns: the stored record. If the driver did not retype the volume, also the intent of the
        migration to the copy, which replaces that of this operation.
    """
    driver = journal.driver(volume.backend)
    retyped_to = replace(volume, extra_specs=target.extra_specs)
    replication.refuse_impossible(driver.info, retyped_to, "retyped")
    intent, retyping = journal.begin(
        "volume.retype",
        volumes.lock_name(volume.id),
        replace(volume, status="retyping", retype_target=target),
        before=volume,
        data={"previous": _previous(volume, target)},
        arguments={"type": target.name or None, "from": volume.type_name},
    )
    settled = "in-use" if volume.attach_status == "attached" else "available"
    before = replace(retyping, status=volume.status, retype_target=volume.retype_target)
    after_failure = replace(retyping, status="error_retyping")
    retyped: VolumeRecord | None = None
    refusal: errors.CinderlibError | None = None
    try:
        volume_types.check_assigned(journal.store, target)
        try:
            retyped = driver.retype(_as_before(retyping, intent), target)
            if retyped is None:
                raise errors.Unsupported(
                    f"Volume {volume.id} was not retyped: {_REFUSED}. Nothing changed. {INSTEAD}",
                    resource=volume.id,
                )
        except errors.CinderlibError as exc:
            if copy is None or not _permits_copy(exc):
                raise
            refusal = exc
            LOG.info("The driver did not retype volume %s: %s", volume.id, exc)
            copy.refuse_impossible()
    except BaseException as exc:
        journal.fail(intent, retyping, before if is_refusal(refusal or exc) else after_failure)
        raise
    if retyped is None:
        assert copy is not None
        assert refusal is not None
        undone = before if is_refusal(refusal) else after_failure
        return retyping, copy.begin(retyping, undone, Remove(IntentRecord, intent.id))
    done = f"Volume {volume.id} was retyped"
    ready = replace(retyped, status=settled, retype_target=None)
    return journal.finish_with(intent, done, retyping, ready), None


def _permits_copy(error: errors.CinderlibError) -> bool:
    """Whether the driver has ended its work, so that the data can be copied instead."""
    return is_the_drivers(error) and not (
        was_interrupted(error) or isinstance(error, errors.DriverTimeout | errors.Busy)
    )


def _differ(volume: VolumeRecord, target: TypeSpecs) -> bool:
    return (volume.extra_specs, volume.qos_specs) != (target.extra_specs, target.qos_specs)


def _previous(volume: VolumeRecord, target: TypeSpecs) -> dict[str, object]:
    """The fields with the specs that the storage can have, for the driver's comparison.

    A retype back to the recorded type after a failure starts from the type of the failed one. If
    the ID of both types is the same, the former specs are the volume's own.
    """
    previous = TypeSpecs.of(volume)
    if volume.retype_target is not None and volume.retype_target.fields() != target.fields():
        previous = volume.retype_target
    if previous.id == target.id:
        previous = replace(previous, id=volume.id, name="")
    return previous.fields()


def _as_before(volume: VolumeRecord, intent: IntentRecord) -> VolumeRecord:
    return replace(volume, **intent.data["previous"])


@recovers("volume.retype")
def recover_retype(journal: Journal, intent: IntentRecord) -> str:
    """The storage can have the old or the new specs: ask the driver again."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None or volume.retype_target is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    settled = "in-use" if volume.attach_status == "attached" else "available"
    before = replace(volume, status=settled, retype_target=None)
    driver = journal.driver(intent.backend)
    try:
        retyped = driver.retype(_as_before(volume, intent), volume.retype_target)
    except errors.Unsupported:
        retyped = None
    except errors.CinderlibError:
        journal.fail(intent, volume, replace(volume, status="error_retyping"))
        raise
    if retyped is None:
        journal.finish_with(intent, "No change was made", volume, before, outcome="undone")
        return "undone"
    ready = replace(retyped, status=settled, retype_target=None)
    journal.finish_with(intent, f"Volume {volume.id} was retyped", volume, ready)
    return "finished"
