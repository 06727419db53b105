"""Failures at any step: repeating the call leads to the final state, and removal leaves no remains.

The failures are the actions of ``points.py``: the step raises before or after its work, the store
fails from that step, Control-C. After each, the same object repeats the call without failures, or
everything is removed, or the process ends.
"""

from __future__ import annotations

import dataclasses

import pytest
from points import at_all
from pool import Pool
from scenarios import names
from tally import Note
from test_crash import STORES, counted, play


@dataclasses.dataclass(frozen=True)
class Mode:
    """
    :ivar action: the name of the action in ``points.py``.
    :ivar kinds: the kinds of steps for which the action makes a difference.
    :ivar done: whether to act after steps, before steps, or both.
    """

    action: str
    kinds: frozenset[str]
    done: bool | None = None

    def at(self, steps: list[str], kinds: frozenset[str]) -> list[tuple[int, str]]:
        """The steps of these kinds for the action, with their numbers."""
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
#: The other actions leave the same states of storage, host and store as one of these.
ENDINGS = {"retry": CALLS | {"file"}, "give up": PARTS, "end": PARTS}

#: A forced disconnect succeeds if the driver fails, and leaves the mapping on the storage, for the
#: next reconcile. A copy that fails leaves a safety snapshot; see
#: ``tests/api/test_revert_by_copy.py``.
NAMES = names("detach by force", "revert copied")


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
