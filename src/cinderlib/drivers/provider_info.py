"""Completes records from earlier versions of a driver with their ``provider_id``.

Cinder's manager calls the driver's method at each start. This library calls it only if the driver
implements it and a record has no ``provider_id``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from cinder.volume import driver as base

from cinderlib.drivers import translate
from cinderlib.drivers.scope import Scope, View
from cinderlib.records import SnapshotRecord, VolumeRecord

_log = logging.getLogger(__name__)


def complete(driver: Any, own: Scope, context: Any) -> None:
    """Let the driver set the ``provider_id`` of volumes and snapshots without one. A failure is
    only logged, because the backend can be used anyway.

    :param own: the driver's scope, of which a call is active.
    """
    method = getattr(driver, "update_provider_info", None)
    if method is None or _is_stub(method):
        return
    view = View(own)
    volumes, snapshots = view.find(VolumeRecord, {}), view.find(SnapshotRecord, {})
    if all(volume.provider_id for volume in volumes) and all(
        snapshot.provider_id for snapshot in snapshots
    ):
        return
    of_volume = {record.id: translate.volume(context, record) for record in volumes}
    try:
        volume_updates, snapshot_updates = method(
            list(of_volume.values()),
            [
                translate.snapshot(context, record, of_volume.get(record.volume_id))
                for record in snapshots
            ],
        )
        _write(view, VolumeRecord, volume_updates)
        _write(view, SnapshotRecord, snapshot_updates)
    except Exception as error:
        _log.warning("Backend %s could not complete its records: %s", own.backend, error)


def _is_stub(method: Any) -> bool:
    """Whether it is a method of Cinder's base class, which returns nothing."""
    return bool(getattr(method, "__module__", "") == base.__name__)


def _write(
    view: View,
    kind: type[VolumeRecord] | type[SnapshotRecord],
    updates: Iterable[Mapping[str, Any]] | None,
) -> None:
    for update in updates or ():
        provider_id = update.get("provider_id")
        if provider_id:
            view.change(
                kind,
                update["id"],
                lambda record, new=str(provider_id): (  # type: ignore[misc]
                    {} if record.provider_id else {"provider_id": new}
                ),
            )
