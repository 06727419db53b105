# SPDX-License-Identifier: Apache-2.0
"""What the modules have in common: cinderlib with their options, its errors as their results."""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    # The file has one reader, which is the command's.
    from cinderlib import Node, errors, validation
    from cinderlib.cli import configuration, documents
    from cinderlib.cli.nouns.config import SECRET
    from cinderlib.cli.sizes import Size
    from cinderlib.node import masking
except ImportError:
    MISSING: str | None = traceback.format_exc()
else:
    MISSING = None

if TYPE_CHECKING:
    import cinderlib as cl

#: Options of all modules that work on storage.
CONTROLLER: dict[str, dict[str, Any]] = {
    "config": {"type": "path"},
    "backend": {"type": "str"},
    "backend_options": {"type": "dict", "no_log": True},
    "store": {"type": "dict", "no_log": True},
}
#: Options of all modules that work on a host which uses volumes.
NODE: dict[str, dict[str, Any]] = {"config": {"type": "path"}}


class Session:
    """One run of a module on the controller; made and closed by :func:`run`.

    :ivar module: the module; in check mode nothing may be changed.
    :ivar params: its options.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        from cinderlib import Controller  # which a host with only cinderlib-node does not have

        self.configuration = configuration.load(self.params["config"])
        self.controller = Controller(
            self._store(), fail_on_missing_backend=False, **self.configuration.controller()
        )

    def _store(self) -> dict[str, Any]:
        store = self.params["store"]
        if store is None:
            self.configuration.require_file()
            return self.configuration.persistence()
        if configuration.is_in_memory(store):
            raise errors.ConfigurationError(
                "The store is in memory, and each task would forget it when it ends"
            )
        return {"storage": "db", **store}

    def load(self, name: str | None) -> cl.Backend:
        """A backend, loaded.

        :param name: by default the one of the option, or the only one that is configured.
        """
        name = self.backend_name() if name is None else name
        given = self.params["backend_options"]
        if given and name == self.params["backend"]:
            return self.controller.backend(name, **given)
        return self.controller.backend(name, **self.configuration.backend(name))

    def backend_name(self) -> str:
        """The name of the backend that is meant."""
        name: str | None = self.params["backend"]
        return self.configuration.only_backend() if name is None else name

    def load_for(self, resource: cl.Volume | cl.Snapshot | cl.Connection) -> None:
        """Load the backend that something is on."""
        self.load(backend_of(resource))

    def find_volume(self, named: str) -> cl.Volume | None:
        """The volume with exactly this ID or name. What has the form of a UUID is an ID only: a
        copy may have the ID of its origin as its name.

        :raises InvalidInput: several have the name.
        """
        found = self.volume_by_id(named)
        return self.volume_by_name(named) if found is None and not _is_uuid(named) else found

    def volume_by_id(self, id: str) -> cl.Volume | None:
        """The volume with this ID, whatever its name is."""
        try:
            return self.controller.volume(id)
        except errors.VolumeNotFound:
            return None

    def volume_by_name(self, name: str) -> cl.Volume | None:
        """The volume with exactly this name, whatever its ID is.

        :raises InvalidInput: several have the name.
        """
        found = self.controller.volumes(name=name, backend=self.params["backend"])
        return _only(list(found), "volumes", name)

    def volume(self, named: str) -> cl.Volume:
        """As :meth:`find_volume`.

        :raises VolumeNotFound: there is none.
        """
        found = self.find_volume(named)
        if found is None:
            raise errors.VolumeNotFound(f"There is no volume with the name or ID {named!r}")
        return found

    def find_snapshot(self, named: str) -> cl.Snapshot | None:
        """The snapshot with exactly this ID or name; as :meth:`find_volume`.

        :raises InvalidInput: several have the name.
        """
        found = self.snapshot_by_id(named)
        return self.snapshot_by_name(named) if found is None and not _is_uuid(named) else found

    def snapshot_by_id(self, id: str, volume: cl.Volume | None = None) -> cl.Snapshot | None:
        """The snapshot with this ID, whatever its name is.

        :param volume: only a snapshot of this volume.
        """
        try:
            found = self.controller.snapshot(id)
        except errors.SnapshotNotFound:
            return None
        return found if volume is None or found.volume_id == volume.id else None

    def snapshot_by_name(self, name: str, volume: cl.Volume | None = None) -> cl.Snapshot | None:
        """The snapshot with exactly this name, whatever its ID is.

        :param volume: only a snapshot of this volume.
        :raises InvalidInput: several have the name.
        """
        found = list(self.controller.snapshots(name=name, backend=self.params["backend"]))
        if volume is not None:
            found = [snapshot for snapshot in found if snapshot.volume_id == volume.id]
        return _only(found, "snapshots", name)

    def connector(self) -> dict[str, Any]:
        """The connector properties of the host that the options name; empty when they do not."""
        if self.params["node"]:
            return documents.registered(self.controller, self.params["node"])
        return self.params["connector"] or {}


def node(module: AnsibleModule) -> cl.Node:
    """The managed host, as its configuration says."""
    return Node(**configuration.load(module.params["config"]).node())


def _only(found: list[Any], what: str, named: str) -> Any:
    if len(found) > 1:
        ids = ", ".join(item.id for item in found)
        raise errors.InvalidInput(
            f"{len(found)} {what} are called {named!r}; name one by id: {ids}"
        )
    return found[0] if found else None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def backend_of(resource: cl.Volume | cl.Snapshot | cl.Connection) -> str:
    """The name of the backend that something is on, loaded or not."""
    backend = resource.backend
    return backend if isinstance(backend, str) else backend.id


def size_of(written: str) -> int:
    """A size such as C(10GiB), in whole GiB.

    :raises InvalidInput: it is none.
    """
    import click

    try:
        return validation.check_size(Size().convert(written, None, None))
    except click.UsageError as exc:
        raise errors.InvalidInput(f"size: {exc.message}") from None


def shown(resource: cl.Volume | cl.Snapshot | cl.Connection) -> dict[str, Any]:
    """All that is known of something, as a result: plain data without secrets."""
    return plain(resource.to_dict())


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """A result as plain JSON data."""
    result: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return result


def refuse_differences(what: str, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """What can only be chosen when something is made must be as it is asked for.

    :param there: what it is.
    :param asked: what it is to be; C(None) for what was not asked for.
    :raises AlreadyExists: it differs.
    """
    differ = [
        f"{name} is {there[name]!r}, not {value!r}"
        for name, value in asked.items()
        if value is not None and value != there[name]
    ]
    if differ:
        raise errors.AlreadyExists(f"{what} exists and is another: {', '.join(differ)}")


def run(module: AnsibleModule, work: Callable[[Session], dict[str, Any]]) -> NoReturn:
    """Do the work of a module on the controller and end it.

    :param work: gives the results.
    """

    def in_session() -> dict[str, Any]:
        session = Session(module)
        with session.controller:
            return work(session)

    end(module, in_session)


def end(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> NoReturn:
    """Do the work of a module and end it, with the results or with an error as people need it."""
    if MISSING is not None:
        module.fail_json(msg=missing_required_lib("cinderlib"), exception=MISSING)
    _hide_only_secrets(module)
    _refuse_empty(module)
    try:
        results = work()
    except errors.CinderlibError as exc:
        message = "\n".join([str(exc), *getattr(exc, "__notes__", ())])
        module.fail_json(msg=message, code=exc.code, retryable=exc.retryable)
    module.exit_json(**results)


def _refuse_empty(module: AnsibleModule) -> None:
    """An option that is empty is mostly a variable that is not set: it is not as if it were left
    out."""
    for name, value in module.params.items():
        if value in ("", {}) and name not in _MAY_BE_EMPTY:
            module.fail_json(
                msg=f"{name} is empty; leave it out, or use default(omit), where it is not meant",
                code=errors.InvalidInput.code,
                retryable=False,
            )


#: Options whose empty value is a wish like another.
_MAY_BE_EMPTY = ("description", "metadata", "extra_specs", "qos_specs")


def _hide_only_secrets(module: AnsibleModule) -> None:
    """Ansible hides each value of an option that has secrets, also ``1`` or a path, wherever it
    stands in the results; what has to be hidden is known better here."""
    hidden: set[str] = set()
    for name in ("backend_options", "store"):
        for option, value in (module.params.get(name) or {}).items():
            if SECRET.search(option) or (option == "connection" and "@" in str(value)):
                hidden.add(str(value))
    hidden |= masking.secrets(module.params.get("connection_info"))
    module.no_log_values = hidden
