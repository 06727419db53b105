# SPDX-License-Identifier: Apache-2.0
"""Common code of the modules: runs cinderlib with their options, and converts errors to results."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    # The command's code reads the configuration file.
    from cinderlib import Node, errors, validation
    from cinderlib.cli import configuration, documents
    from cinderlib.cli.find import is_uuid
    from cinderlib.cli.nouns.config import SECRET
    from cinderlib.cli.sizes import Size
    from cinderlib.node import masking
except ImportError:
    MISSING: str | None = traceback.format_exc()
else:
    MISSING = None

if TYPE_CHECKING:
    import cinderlib as cl

    _Resource = cl.Volume | cl.Snapshot | cl.Connection | cl.Group | cl.GroupSnapshot

#: Options of all modules that use storage.
CONTROLLER: dict[str, dict[str, Any]] = {
    "config": {"type": "path"},
    "backend": {"type": "str"},
    "backend_options": {"type": "dict", "no_log": True},
    "store": {"type": "dict", "no_log": True},
}
#: Options of all modules for hosts that use volumes.
NODE: dict[str, dict[str, Any]] = {"config": {"type": "path"}}


class Session:
    """One run of a module on the controller. :func:`run` creates and closes it.

    :ivar module: the module, which must not change anything in check mode.
    :ivar params: the options of the module.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        from cinderlib import Controller  # not available on a host with only cinderlib-node

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
                "The store is in memory, so its records would be lost at the end of the task: set"
                " a connection to a database"
            )
        return {"storage": "db", **store}

    def load(self, name: str | None) -> cl.Backend:
        """Load a backend.

        :param name: by default the backend of the option, or the only configured backend.
        """
        name = self.backend_name() if name is None else name
        given = self.params["backend_options"]
        if given and name == self.params["backend"]:
            return self.controller.backend(name, **given)
        return self.controller.backend(name, **self.configuration.backend(name))

    def backend_name(self) -> str:
        """The name of the backend of the option, or of the only configured backend."""
        name: str | None = self.params["backend"]
        return self.configuration.only_backend() if name is None else name

    def load_for(self, resource: _Resource) -> None:
        """Load the backend of a resource."""
        self.load(backend_of(resource))

    def by_id(self, what: str, id: str) -> Any:
        """The resource with this ID, with any name; C(None) if it does not exist.

        :param what: C(volume), C(snapshot), C(group) or C(group snapshot).
        """
        try:
            return getattr(self.controller, what.replace(" ", "_"))(id)
        except errors.NotFound:
            return None

    def by_name(
        self, what: str, name: str, volume: cl.Volume | None = None, *, everywhere: bool = False
    ) -> Any:
        """The resource with exactly this name, with any ID; C(None) if it does not exist.

        :param volume: limits the search to snapshots of this volume.
        :param everywhere: search on all backends, not only on that of the option.
        :raises InvalidInput: several resources have this name.
        """
        every = getattr(self.controller, f"{what.replace(' ', '_')}s")
        found = list(every(name=name, backend=None if everywhere else self.params["backend"]))
        if volume is not None:
            found = [snapshot for snapshot in found if snapshot.volume_id == volume.id]
        if len(found) > 1:
            ids = ", ".join(item.id for item in found)
            raise errors.InvalidInput(
                f"{len(found)} {what}s have the name {name!r}; specify one by ID: {ids}"
            )
        return found[0] if found else None

    def find(self, what: str, named: str) -> Any:
        """The resource with exactly this ID or name; C(None) if it does not exist. A UUID is only
        compared with IDs, because a copy can have the ID of another volume as its name.

        :raises InvalidInput: several resources have this name.
        """
        found = self.by_id(what, named)
        return self.by_name(what, named) if found is None and not is_uuid(named) else found

    def get(self, what: str, named: str) -> Any:
        """Like :meth:`find`.

        :raises NotFound: no resource matches.
        """
        found = self.find(what, named)
        if found is None:
            raise errors.NotFound(f"No {what} has the name or ID {named!r}")
        return found

    def deleted(self, found: Any, state: Mapping[str, Any], **how: bool) -> dict[str, Any]:
        """Delete a resource, and return the results.

        :param found: the resource; C(None) if it does not exist.
        :param state: its properties, for the difference.
        :param how: options for C(delete).
        """
        if found is None:
            return {"changed": False}
        diff = {"before": {**state, "state": "present"}, "after": {"state": "absent"}}
        if self.module.check_mode:
            return {"changed": True, "diff": diff}
        self.load_for(found)
        found.delete(**how)
        return {"changed": found.changed, "diff": diff}

    def connector(self) -> dict[str, Any]:
        """The connector properties of the host in the options; empty without such options."""
        if self.params["node"]:
            return documents.registered(self.controller, self.params["node"])
        return self.params["connector"] or {}


def node(module: AnsibleModule) -> cl.Node:
    """The managed host with the configured settings."""
    return Node(**configuration.load(module.params["config"]).node())


def backend_of(resource: _Resource) -> str:
    """The name of a resource's backend, loaded or not."""
    backend = resource.backend
    return backend if isinstance(backend, str) else backend.id


def size_of(text: str) -> int:
    """Convert a size like C(10GiB) to whole GiB.

    :raises InvalidInput: it is not a valid size.
    """
    import click

    try:
        return validation.check_size(Size().convert(text, None, None))
    except click.UsageError as exc:
        raise errors.InvalidInput(f"size: {exc.message}") from None


def texts(given: Mapping[str, Any]) -> dict[str, str]:
    """An option with values of any type, as the library expects it."""
    return {key: str(value) for key, value in given.items()}


def shown(resource: _Resource) -> dict[str, Any]:
    """The details of a resource as a result: plain data without secrets."""
    return plain(resource.to_dict())


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Convert a result to plain JSON data."""
    result: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return result


def refuse_differences(
    what: str, existing: Mapping[str, Any], requested: Mapping[str, Any]
) -> None:
    """Refuse requested properties that differ from those of the existing resource and cannot be
    changed.

    :param existing: the current properties.
    :param requested: the requested properties; C(None) accepts any value.
    :raises AlreadyExists: a property differs.
    """
    differ = [
        f"{name} is {existing[name]!r}, requested {value!r}"
        for name, value in requested.items()
        if value is not None and value != existing[name]
    ]
    if differ:
        raise errors.AlreadyExists(
            f"{what} already exists with different properties: {', '.join(differ)}"
        )


def run(module: AnsibleModule, work: Callable[[Session], dict[str, Any]]) -> NoReturn:
    """Run a module on the controller, and end it.

    :param work: the code of the module, which returns its results.
    """

    def in_session() -> dict[str, Any]:
        session = Session(module)
        with session.controller:
            return work(session)

    end(module, in_session)


def end(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> NoReturn:
    """Run a module, and end it with its results or with an error message."""
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
    """Refuse an empty option. Its usual cause is a variable that is not set, so it does not mean
    the default."""
    for name, value in module.params.items():
        if value in ("", {}) and name not in _MAY_BE_EMPTY:
            module.fail_json(
                msg=f"{name} is empty; omit it, or use default(omit), to use the default",
                code=errors.InvalidInput.code,
                retryable=False,
            )


#: Options that can be empty.
_MAY_BE_EMPTY = ("description", "metadata", "extra_specs", "qos_specs")


def _hide_only_secrets(module: AnsibleModule) -> None:
    """Limit the values that Ansible hides in the results to secrets. By default it hides all values
    of these options, including ``1`` or a path."""
    hidden: set[str] = set()
    for name in ("backend_options", "store"):
        for option, value in (module.params.get(name) or {}).items():
            if SECRET.search(option) or (option == "connection" and "@" in str(value)):
                hidden.add(str(value))
    hidden |= masking.secrets(module.params.get("connection_info"))
    module.no_log_values = hidden
