"""Processes of isolated drivers killed in each call: the program continues, storage, host and store
agree after recovery, and repeating the call leads to the final state."""

from __future__ import annotations

import pytest
from pool import Pool
from scenarios import names
from tally import Note, note

#: The operations without ``--crash=all``, which call the driver in different ways.
FEW = ("create", "connect", "disconnect", "delete volume", "extend attached", "attach", "revert")
#: The operations that do not call the driver, and the reason.
WITHOUT_DRIVER = {
    "delete type": "types are records only",
    "save": "names and metadata are records only",
    "load and save": "a document replaces records only",
    "load many": "documents become records only",
    "register node": "nodes are records only",
    "attach connection": "the host opens a volume that is mapped",
    "detach connection": "the host closes a volume that stays mapped",
    "attach again": "the volume is attached",
    "limit attached": "the volume is attached",
    "attach encrypted again": "the volume is attached",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    everything = metafunc.config.getoption("--crash") == "all"
    metafunc.parametrize("name", names() if everything else FEW)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("etcd", marks=pytest.mark.slow)])
def test_driver_hosts_killed_anywhere(
    pool: Pool, name: str, store: str, record_property: Note
) -> None:
    (answer,) = pool.play([{"what": "kill hosts", "scenario": name, "store": store}])
    deaths = answer.get("deaths", 0)
    note(record_property, f"driver killed, {store}", name, deaths, deaths)
    assert not answer["problems"], "\n".join(answer["problems"])
    assert (deaths == 0) == (name in WITHOUT_DRIVER)
