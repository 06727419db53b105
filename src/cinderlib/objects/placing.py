"""Volumes for which a controller chooses the backend."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from cinderlib import errors, validation, value_checks
from cinderlib.objects.keywords import CommonVolumeKeywords
from cinderlib.objects.volume_types import VolumeTypes

if TYPE_CHECKING:
    from cinderlib.drivers.placement import Scheduler
    from cinderlib.drivers.port import Settings
    from cinderlib.drivers.port_values import Candidate, Request
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.volume import Volume
    from cinderlib.records import VolumeRecord

#: Seconds after which the stats of a backend are queried again, as often as Cinder's manager does.
_FRESH = 60.0


class Placing(VolumeTypes):
    """The method of a :class:`cinderlib.Controller`."""

    _guard: threading.RLock
    _scheduler: Scheduler | None = None

    if TYPE_CHECKING:

        @property
        def backends(self) -> Mapping[str, Backend]: ...

        def loaded(self, name: str) -> Backend: ...

        def peek_volume(self, volume_id: str) -> VolumeRecord | None: ...

        def _settings(self, *, create: bool = True) -> Settings: ...

    def create_volume(
        self,
        size: float,
        name: str = "",
        description: str = "",
        bootable: bool = False,
        *,
        backends: Iterable[str] | None = None,
        **fields: Unpack[CommonVolumeKeywords],
    ) -> Volume:
        """Create a volume on the backend and pool that Cinder's scheduler would choose: by its
        filters for capacity, capabilities and ``filter_function``, and its weighers for capacity
        and ``goodness_function``.

        :param size: in GiB, whole or fractional (rounded up).
        :param backends: choose among these; by default all loaded backends.
        :param fields: as for :meth:`cinderlib.Backend.create_volume`, without ``host`` and
            ``pool_name``. The extra specs are requirements.
        :returns: the volume, or the existing one with this ``id`` and the same properties.
        :raises NoBackendFits: no pool fits. The message has the reason of each. Nothing changed.
        """
        if "host" in fields or "pool_name" in fields:
            raise errors.InvalidInput("The pool is chosen: omit host and pool_name")
        wanted = None if backends is None else value_checks.check_texts(backends, "backends")
        candidates = [self.loaded(each) for each in (self.backends if wanted is None else wanted)]
        id = fields.get("id")
        existing = None if id is None else self.peek_volume(id)
        where: dict[str, Any] = {}
        if existing is not None:
            chosen = self.loaded(existing.backend)
        else:
            chosen, where["pool_name"] = self._place(candidates, size, fields)
        return chosen.create_volume(size, name, description, bootable, **fields, **where)

    def _place(
        self, candidates: Iterable[Backend], size: float, fields: Mapping[str, Any]
    ) -> tuple[Backend, str]:
        found = {each.id: each for each in candidates}
        request = self._request(size, fields)
        unusable = {name: why for name, each in found.items() if (why := _why_unusable(each))}
        usable = [_candidate(each) for name, each in found.items() if name not in unusable]
        place, reasons = self._get_scheduler().place(usable, request)
        if place is None:
            reasons = {**reasons, **unusable}
            listed = "; ".join(f"{pool}: {why}" for pool, why in reasons.items())
            raise errors.NoBackendFits(
                f"No backend fits a volume of {request.size} GiB: {listed or 'none is loaded'}"
            )
        backend, pool = place
        return found[backend], pool

    def _request(self, size: float, fields: Mapping[str, Any]) -> Request:
        if fields.get("type") is not None:
            specs = self.type_specs(fields["type"])
            extra, qos = specs.extra_specs, specs.qos_specs
        else:
            given, limits = fields.get("extra_specs"), fields.get("qos_specs")
            extra = validation.check_specs({} if given is None else given)
            qos = validation.check_qos_specs({} if limits is None else limits)
        from cinderlib.drivers.port_values import Request

        return Request(
            size=validation.check_size(size),
            extra_specs=extra,
            qos_specs=qos,
            multiattach=value_checks.check_flag(fields.get("multiattach", False), "multiattach"),
        )

    def _get_scheduler(self) -> Scheduler:
        with self._guard:
            if self._scheduler is None:
                from cinderlib import drivers

                self._scheduler = drivers.scheduler(self._settings())
            return self._scheduler


def _why_unusable(backend: Backend) -> str:
    """Why no new volume is placed on a backend, as Cinder disables its service then."""
    state = backend.replication
    if state.is_usable:
        return ""
    return "it is frozen" if state.frozen else f"its replication is '{state.status}'"


def _candidate(backend: Backend) -> Candidate:
    age = backend.stats_age
    stats = backend.stats(refresh=age is not None and age > _FRESH)
    from cinderlib.drivers.port_values import Candidate

    return Candidate(backend.id, f"{backend.controller.host}@{backend.id}", stats)
