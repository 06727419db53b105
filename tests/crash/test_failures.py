"""Let any step fail: the same call again leads to the end state, and giving up leaves nothing.

The failures are those of ``points.py``: the step raises without having done anything or after it
has done all, the store fails from there on, Control-C. Each is followed by the same call on the
same object once things work again, or by the removal of everything, or by the end of the process.
"""

from __future__ import annotations

import dataclasses

import pytest
from points import at_all
from pool import Pool
from scenarios import SCENARIOS
from tally import Note
from test_crash import STORES, counted, play


@dataclasses.dataclass(frozen=True)
class Mode:
    """
    :ivar action: what is done at the step, by its name in ``points.py``.
    :ivar kinds: of the steps at which that makes a difference.
    :ivar done: whether at steps that have been done, at those that have not, or at both.
    """

    action: str
    kinds: frozenset[str]
    done: bool | None = None

    def at(self, steps: list[str], kinds: frozenset[str]) -> list[tuple[int, str]]:
        """The steps of these kinds at which it happens, with their numbers."""
        found = at_all(steps, self.kinds & kinds)
        return [at for at in found if self.done in (None, at[1].endswith(" after"))]


PARTS = frozenset({"driver", "store", "node"})
CALLS = PARTS | {"read", "state", "command", "loop"}
MODES = {
    "raises before": Mode("fail", CALLS | {"file"}, done=False),
    "raises after the work": Mode("fail", CALLS, done=True),
    "store down": Mode("store_down", PARTS),
    "interrupted": Mode("interrupt", CALLS),
}
#: After the others, what is left in storage, host or store is the same as after one of these.
ENDINGS = {"retry": CALLS | {"file"}, "give up": PARTS, "end": PARTS}

#: With force a disconnect goes on when the driver fails; what it did not do stays on the storage.
NAMES = [name for name in SCENARIOS if name != "detach by force"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_failed_anywhere(
    pool: Pool, name: str, mode: str, store: str, everything: bool, record_property: Note
) -> None:
    found = counted(pool, name, store)
    known = {"scenario": name, "store": store, "before": found["before"], "after": found["after"]}
    how = MODES[mode]
    requests = [
        {"what": "fail", "action": how.action, "ending": ending, "at": at, "step": step, **known}
        for ending, kinds in ENDINGS.items()
        for at, step in how.at(found["steps"], kinds)
    ]
    play(pool, f"{mode}, {store}", name, requests, everything, 120, record_property)
