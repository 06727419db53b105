"""What several scenarios do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.machine import Session

#: Until a path is given up and the writes go on by the other, and until it is back, in seconds.
FAILOVER_TIMEOUT = 240.0

#: Writes and remembers the checksums until it is told to stop.
WRITER = """
    import data, threading, time
    stop, failed, written, longest = threading.Event(), [], {}, [0]
    def write():
        number = 0
        while not stop.is_set():
            place, began = number % 256, time.monotonic()
            try:
                written[place] = data.write(attachment.path, chunks=1, offset=place)
            except OSError as exc:
                failed.append(repr(exc))
            number += 1
            progress[0] = number
            longest[0] = max(longest[0], time.monotonic() - began)
    def different():
        return [place for place, sha in written.items()
                if data.read(attachment.path, chunks=1, offset=place) != sha]
    progress = [0]
    writer = threading.Thread(target=write)
    writer.start()
"""


def shows(scenario: str, *protocols: str) -> pytest.MarkDecorator:
    """For the table: what is shown, for which protocols."""
    return pytest.mark.shows(scenario, *protocols)


def single_and_multipath(scenario: str) -> pytest.MarkDecorator:
    """The argument ``multipath`` is false, then true."""
    return pytest.mark.parametrize(
        "multipath",
        [
            pytest.param(False, id="single", marks=shows(scenario, "iSCSI")),
            pytest.param(True, id="multipath", marks=shows(scenario, "iSCSI multipath")),
        ],
    )


def carry(document: Any) -> Any:
    """What happens to a document on its way to the other machine."""
    return json.loads(json.dumps(document))


def connect(control: Session, node: Session, host: str, *, multipath: bool, **fields: Any) -> None:
    """Connect the controller's ``vol`` for a node: there is then ``conn`` on the controller, and
    ``node`` and ``info`` on the node."""
    properties = node(
        "node = cl.Node(my_ip=my_ip, multipath=multipath); node.connector_properties()",
        multipath=multipath,
    )
    info = control(
        "conn = vol.connect(properties, attached_host=host, **fields); conn.connection_info",
        properties=carry(properties),
        host=host,
        fields=fields,
    )
    node("info = info", info=carry(info))


def until(condition: Callable[[], bool], what: str, timeout: float = FAILOVER_TIMEOUT) -> float:
    """Wait for something.

    :returns: how long it took, in seconds.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            pytest.fail(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - began
