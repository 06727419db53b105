"""Let any step fail: the same call again leads to the end state, and giving up leaves nothing.

The failures are those of ``points.py``: the step raises without having done anything or after it
has done all, the store fails from there on, Control-C. Each is followed by the same call on the
same object once things work again, or by the removal of everything, or by the end of the process.
"""

from __future__ import annotations

import pytest
from points import at_all
from pool import Pool
from scenarios import SCENARIOS
from test_crash import STORES, counted, tried

#: Where what each mode does makes a difference.
MODES = {
    "fail": frozenset({"driver", "store", "read", "node", "state", "command", "file"}),
    "store_down": frozenset({"driver", "store", "node"}),
    "interrupt": frozenset({"driver", "store", "read", "node", "state", "command"}),
}
#: Where what is left in storage, host or store can differ, so that every ending is tried.
PARTS = frozenset({"driver", "store", "node"})


#: With force a disconnect goes on when the driver fails; what it did not do stays on the storage.
NAMES = [name for name in SCENARIOS if name != "detach by force"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_failed_anywhere(pool: Pool, name: str, mode: str, store: str, everything: bool) -> None:
    found = counted(pool, name, store)
    known = {"scenario": name, "store": store, "before": found["before"], "after": found["after"]}
    requests = [
        {"what": "fail", "action": mode, "ending": ending, "at": at, "step": step, **known}
        for ending, kinds in (
            ("retry", MODES[mode]),
            ("give up", PARTS),
            ("end", PARTS),
        )
        for at, step in at_all(found["steps"], kinds)
    ]
    tried(pool, f"{mode}, {store}", requests, everything, 60)
