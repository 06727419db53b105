"""Retype: the driver gives an existing volume other extra specs and QoS specs."""

from __future__ import annotations

from cinderlib import errors
from cinderlib.operations import capabilities, encryption, replication, volume_types, volumes
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_refusal, refuse_temporary
from cinderlib.operations.settling import recovers
from cinderlib.records import IntentRecord, TypeSpecs, VolumeRecord, replace

#: States in which a volume can be retyped.
_RETYPABLE = frozenset({"available", "in-use", "error_retyping"})
_REFUSED = "the driver refused this change of specs"


def retype(journal: Journal, volume_id: str, target: TypeSpecs) -> tuple[VolumeRecord, bool]:
    """Give a volume the specs of a type, or own specs.

    :param target: the specs; own specs have the volume's ID.
    :returns: the record, and whether it was changed by this call.
    :raises InvalidVolume: its status does not allow it; nothing changed.
    :raises Unsupported: the driver cannot do it for this volume; nothing changed.
    :raises DriverError: the storage failed. The status is ``'error_retyping'``: the volume can be
        used, and the storage has its old or its new specs.
    """
    lock = volumes.lock_name(volume_id)
    with journal.locks.hold(lock):
        volume = volumes.get(journal, volume_id)
        refuse_temporary(volume, "retyped")
        failed_before = volume.retype_target is not None
        if not failed_before and TypeSpecs.of(volume).fields() == target.fields():
            return volume, False
        if volume.status not in _RETYPABLE:
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be retyped: it is '{volume.status}'",
                resource=volume_id,
            )
        encryption.refuse_change(volume, target)
        driver = journal.driver(volume.backend)
        retyped_to = replace(volume, extra_specs=target.extra_specs)
        replication.refuse_impossible(driver.info, retyped_to, "retyped")
        if failed_before or _differ(volume, target):
            capabilities.require(driver, "volume.retype", volume.backend, volume_id)
        intent, retyping = journal.begin(
            "volume.retype",
            lock,
            replace(volume, status="retyping", retype_target=target),
            before=volume,
            data={"previous": _previous(volume, target)},
            arguments={"type": target.name or None, "from": volume.type_name},
        )
        settled = "in-use" if volume.attach_status == "attached" else "available"
        try:
            volume_types.check_assigned(journal.store, target)
            retyped = driver.retype(_as_before(retyping, intent), target)
            if retyped is None:
                raise errors.Unsupported(
                    f"Volume {volume_id} was not retyped: {_REFUSED}. Nothing changed. Clone it"
                    " with the other type instead, or migrate it",
                    resource=volume_id,
                )
        except BaseException as exc:
            before = replace(retyping, status=volume.status, retype_target=volume.retype_target)
            failed = before if is_refusal(exc) else replace(retyping, status="error_retyping")
            journal.fail(intent, retyping, failed)
            raise
        done = f"Volume {volume_id} was retyped"
        ready = replace(retyped, status=settled, retype_target=None)
        return journal.finish_with(intent, done, retyping, ready), True


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
