"""Processes of isolated drivers killed in each call: the program continues, storage, host and store
agree after recovery, and repeating the call leads to the final state."""

from __future__ import annotations

import pytest
from pool import Pool
from scenarios import SCENARIOS

#: The operations without ``--crash=all``, which call the driver in different ways.
FEW = ("create", "connect", "disconnect", "delete volume", "extend attached", "attach", "revert")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("etcd", marks=pytest.mark.slow)])
def test_driver_hosts_killed_anywhere(pool: Pool, store: str, everything: bool) -> None:
    names = list(SCENARIOS) if everything else list(FEW)
    requests = [{"what": "kill hosts", "scenario": name, "store": store} for name in names]
    bad = []
    deaths = 0
    for name, answer in zip(names, pool.play(requests), strict=True):
        bad += [f"{name}: {problem}" for problem in answer["problems"]]
        deaths += answer.get("deaths", 0)
    assert not bad, "\n".join(bad)
    assert deaths >= len(names)
