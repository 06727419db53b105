# SPDX-License-Identifier: Apache-2.0
"""Changes of an existing volume: from one state to the state that the options request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.cinderlib.storage.plugins.module_utils import controller

if TYPE_CHECKING:
    import cinderlib as cl

#: The properties of an existing volume that only the store has.
CHANGEABLE = ("name", "description", "bootable")
OWN_SPECS = ("extra_specs", "qos_specs")
SPECS = ("metadata", *OWN_SPECS)
PLACE = ("backend", "pool")


def apply(session: controller.Session, found: cl.Volume) -> dict[str, Any]:
    """Change the volume as the options request, and return the results."""
    params, before = session.params, state(found)
    size = controller.size_of(params["size"]) if params["size"] else found.size
    if size < found.size:
        raise controller.errors.InvalidInput(
            f"Volume {found.name or found.id} has {found.size} GiB and cannot be made smaller"
            f" ({params['size']})"
        )
    after = {
        **before,
        **{name: params[name] for name in CHANGEABLE if params[name] is not None},
        "metadata": {**before["metadata"], **controller.texts(params["metadata"] or {})},
        "size": size,
        **_requested_specs(session, before),
        **_destination(params, before),
    }
    if after != before and not session.module.check_mode:
        _carry_out(session, found, before, after)
        after.update(size=found.size, **place(found))  # a copy can be larger
    return {
        "changed": after != before,
        "diff": {"before": before, "after": after},
        "volume": {**controller.shown(found), **{k: after[k] for k in after if k not in PLACE}},
    }


def state(volume: cl.Volume) -> dict[str, Any]:
    """The properties of a volume that the module can change."""
    known = {name: getattr(volume, name) for name in (*CHANGEABLE, *SPECS, "size")}
    return {**known, "type": volume.type_name, **place(volume)}


def place(volume: cl.Volume) -> dict[str, str]:
    """The backend and the pool of a volume."""
    return {"backend": controller.backend_of(volume), "pool": volume.host.partition("#")[2]}


def _requested_specs(session: controller.Session, before: dict[str, Any]) -> dict[str, Any]:
    """The type and the specs that the volume gets."""
    params = session.params
    if params["type"]:
        kind = session.controller.type_specs(params["type"])
        return {"type": kind.name, **{name: getattr(kind, name) for name in OWN_SPECS}}
    own = {name: controller.texts(params[name]) for name in OWN_SPECS if params[name] is not None}
    if all(before[name] == specs for name, specs in own.items()):
        return {}
    return {"type": None, **own}


def _destination(params: dict[str, Any], before: dict[str, Any]) -> dict[str, str]:
    """The backend and the pool that the volume is moved to; empty if it stays."""
    if not params["migrate"]:
        return {}
    return {name: params[name] for name in PLACE if params[name] not in (None, before[name])}


def _carry_out(
    session: controller.Session, found: cl.Volume, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Change the volume from one state to another."""
    params = session.params
    for name in (*CHANGEABLE, "metadata"):
        setattr(found, name, after[name])
    found.save()
    if any(after[name] != before[name] for name in PLACE):
        session.load_for(found)
        found.migrate(session.load(after["backend"]), params["pool"])
    if any(after[name] != before[name] for name in ("type", *OWN_SPECS)):
        session.load_for(found)
        specs = {"type": after["type"]} if after["type"] else {n: after[n] for n in OWN_SPECS}
        found.retype(**specs, migrate=params["migrate"])
    if after["size"] > found.size:
        session.load_for(found)
        found.extend(after["size"])
