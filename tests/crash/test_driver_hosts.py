"""Kill the process of an isolated driver in each of its calls: the program goes on, storage, host
and store agree again after recovery, and the same call leads to the end state."""

from __future__ import annotations

import pytest
from pool import Pool
from scenarios import SCENARIOS

#: Tried without ``--crash=all``: those whose drivers are called in different ways.
FEW = ("create", "connect", "disconnect", "delete volume", "extend attached", "attach", "revert")


@pytest.mark.timeout(1800)
def test_driver_hosts_killed_anywhere(pool: Pool, everything: bool) -> None:
    names = list(SCENARIOS) if everything else list(FEW)
    requests = [{"what": "kill hosts", "scenario": name, "store": "sqlite"} for name in names]
    bad = []
    deaths = 0
    for name, answer in zip(names, pool.play(requests), strict=True):
        bad += [f"{name}: {problem}" for problem in answer["problems"]]
        deaths += answer.get("deaths", 0)
    assert not bad, "\n".join(bad)
    assert deaths >= len(names)
