"""``managedvolume-helper-cinderlib``: the program that vdsm runs as root on a hypervisor host.

Its argument is ``connector_info``, ``attach`` or ``detach``, and it writes its answer as JSON.
``attach`` reads ``{"connection_info": ...}`` from standard input, where the value is the answer of
``connect_volume``. ``detach`` reads the row of vdsm's database, which also contains the answer of
``attach`` as ``attachment``. After an error, it writes one line to standard error, and the exit
code is 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cinderlib.ovirt.adapter import STATE_PATH
from cinderlib.ovirt.streams import answers_only, leave

if TYPE_CHECKING:
    import cinderlib as cl


def main() -> None:
    """The entry point of the installed program."""
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a verb and write its answer.

    :returns: the exit code: 0, or 1 if it failed.
    """
    with answers_only(None) as answers:
        import cinderlib as cl

        if len(arguments) != 1 or arguments[0] not in _VERBS:
            sys.stderr.write(f"usage: managedvolume-helper-cinderlib {'|'.join(_VERBS)}\n")
            return 1
        try:
            answer = _VERBS[arguments[0]]()
        except cl.errors.CinderlibError as exc:
            sys.stderr.write(f"{' '.join(str(exc).split())}\n")
            return 1
        answers.write(json.dumps(answer))
        return 0


def _node() -> cl.Node:
    import cinderlib as cl

    state = os.environ.get(STATE_PATH)
    # oVirt hosts always run multipathd, and vdsm needs the map name of each SCSI disk.
    return cl.Node(
        multipath=True,
        enforce_multipath=True,
        state_path=os.path.join(state, "node") if state else None,
    )


def _connector_info() -> dict[str, Any]:
    return _node().connector_properties()


def _attach() -> dict[str, Any]:
    return _node().attach(_document(_input().get("connection_info"))).device


def _detach() -> dict[str, Any]:
    given = _input()
    _node().detach(_document(given.get("connection_info")), device=given.get("attachment"))
    return {}


def _document(connection_info: Any) -> dict[str, Any]:
    """The connection document from the answer of ``connect_volume``."""
    from cinderlib.errors import InvalidDocument

    if not isinstance(connection_info, dict):
        raise InvalidDocument("Standard input has no JSON object 'connection_info'")
    conn = {key: value for key, value in connection_info.items() if key != "adapter"}
    attempts = conn.pop("scan_attempts", 3)
    if conn.get("driver_volume_type") == "rbd" and isinstance(conn.get("data"), dict):
        # Use a kernel device, because vdsm attaches devices to virtual machines.
        conn["data"] = {**conn["data"], "do_local_attach": True}
    return {"conn": conn, "use_multipath": True, "scan_attempts": attempts}


def _input() -> dict[str, Any]:
    from cinderlib.errors import InvalidDocument
    from cinderlib.value_checks import json_object

    given = json_object(sys.stdin.buffer.read())
    if given is None:
        # The message does not repeat it, because it can contain keys.
        raise InvalidDocument("Standard input is not a JSON object")
    return given


_VERBS: dict[str, Callable[[], dict[str, Any]]] = {
    "connector_info": _connector_info,
    "attach": _attach,
    "detach": _detach,
}
