"""A service killed at any step of a call, and its client killed at any step: storage, host and
store agree after recovery, and a call whose client has disappeared is finished."""

from __future__ import annotations

from typing import Any

import pytest
from points import deaths
from pool import Pool
from scenarios import SCENARIOS
from tally import Note
from test_crash import play

#: The scenarios that are one call of a client of a service. In the others the client writes records
#: or attaches by hand; it also writes a stream by itself, after it has attached the volume.
NAMES = [
    name
    for name in SCENARIOS
    if name
    not in (
        *("attach connection", "detach connection", "load and save", "load many", "set key value"),
        "apply stream",
    )
]
#: The scenarios with more steps in a sample: every call passes through the same code.
FEW = ("create", "attach", "delete volume")
STORES = [pytest.param(store, marks=pytest.mark.slow) for store in ("sqlite", "etcd")]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("what", ["kill service", "kill client"])
@pytest.mark.parametrize("name", NAMES)
def test_killed_anywhere(
    pool: Pool, name: str, what: str, store: str, everything: bool, record_property: Note
) -> None:
    (found,) = pool.play([{"what": "count served", "scenario": name, "store": store}])
    assert found["problems"] == []
    known: dict[str, Any] = {"scenario": name, "store": store, "what": what}
    known |= {"before": found["before"], "after": found["after"]}
    requests = [{"at": at, "step": step, **known} for at, step in deaths(found["steps"])]
    assert requests
    layer = f"{what.replace('kill ', '')} killed, {store}"
    play(pool, layer, name, requests, everything, 8 if name in FEW else 40, record_property)
