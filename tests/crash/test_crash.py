"""Processes killed at any step: after recovery, storage, host and store agree without lost data.

In each case, a process is killed with SIGKILL at a step of an operation. A new process loads the
backend, which recovers, and compares the states; ``points.py`` defines the steps. By default a
sample of the steps is tested, with ``--crash=all`` every step.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any

import pytest
from points import deaths
from pool import Pool
from scenarios import SCENARIOS, names
from tally import Note, note

from checks.steps import commit

#: ``documents`` is a persistence class for cinderlib 5, without transactions and without a list of
#: key-values.
STORES = (
    "sqlite",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "etcd", "documents")),
)

Request = dict[str, Any]
Played = tuple[Request, dict[str, Any]]

_counted: dict[tuple[str, str], dict[str, Any]] = {}
_killed: dict[tuple[str, str], tuple[int, list[Played]]] = {}


def counted(pool: Pool, name: str, store: str) -> dict[str, Any]:
    """The steps of an operation, and the states before and after it."""
    scenario = SCENARIOS[name]
    if scenario.encrypted and not scenario.key_files and store == "documents":
        pytest.skip("a persistence class for cinderlib 5 must encrypt keys itself")
    if (name, store) not in _counted:
        (answer,) = pool.play([{"what": "count", "scenario": name, "store": store}])
        assert answer["problems"] == []
        assert answer["steps"]
        _counted[name, store] = answer
    return _counted[name, store]


def sampled(pool: Pool, requests: list[Request], everything: bool, one_in: int) -> list[Request]:
    """All requests, those that the commit chooses, or a sample that is the same in each run."""
    if everything:
        most = pool.most or len(requests)
        chosen = sorted(range(len(requests)), key=lambda at: _order(requests[at]))[:most]
        return [requests[at] for at in sorted(chosen)]
    return [r for r in requests if not zlib.crc32(_description(r).encode()) % one_in]


def _order(request: Request) -> int:
    """A number that differs with each commit, so that several commits try all points."""
    return zlib.crc32(f"{_commit()} {_description(request)}".encode())


_commit = functools.cache(commit)


def killed(pool: Pool, name: str, store: str, everything: bool) -> tuple[int, list[Played]]:
    """Kill an operation at each step, or at a sample of the steps, and recover it.

    :returns: the number of steps, and the requests with their answers.
    """
    if (name, store) not in _killed:
        found = counted(pool, name, store)
        known = {"scenario": name, "store": store}
        known |= {"before": found["before"], "after": found["after"]}
        requests = [
            {"what": "kill", "at": at, "step": step, **known} for at, step in deaths(found["steps"])
        ]
        few = sampled(pool, requests, everything, 24)
        _killed[name, store] = len(requests), list(zip(few, pool.play(few), strict=True))
    return _killed[name, store]


def play(
    pool: Pool,
    layer: str,
    name: str,
    requests: list[Request],
    everything: bool,
    one_in: int,
    record_property: Note,
) -> None:
    """Run the requests, or a sample of them. Fails if they find a problem.

    :param layer: the action and the store, for the table.
    :param name: the name of the scenario.
    """
    few = sampled(pool, requests, everything, one_in)
    answers = list(zip(few, pool.play(few), strict=True))
    note(record_property, layer, name, len(few), len(requests))
    refuse_problems(answers)


def refuse_problems(answers: list[Played]) -> None:
    """Fail if an answer has a problem."""
    bad = [
        f"{_description(request)}\n    " + "\n    ".join(answer["problems"])
        for request, answer in answers
        if answer["problems"]
    ]
    assert not bad, f"{len(bad)} of {len(answers)} cases:\n" + "\n".join(bad)


def _description(request: Request) -> str:
    words = [request["what"], request.get("action", ""), request.get("ending", "")]
    again = request.get("again step")
    return (
        f"{request['scenario']}, {' '.join(filter(None, words))} at {request['at']}:"
        f" {request['step']}" + (f", then in recovery at {again}" if again else "")
    )


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", names())
def test_killed_anywhere(
    pool: Pool, name: str, store: str, everything: bool, record_property: Note
) -> None:
    known, answers = killed(pool, name, store, everything)
    note(record_property, f"killed, {store}", name, len(answers), known)
    refuse_problems(answers)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", names())
def test_recovery_killed_anywhere(
    pool: Pool, name: str, store: str, everything: bool, record_property: Note
) -> None:
    """Recovery has a few different sequences of steps; each is killed at each step."""
    # For all steps with the same recovery sequence, one is enough.
    courses: dict[tuple[str, ...], Request] = {}
    for request, answer in killed(pool, name, store, everything)[1]:
        courses.setdefault(tuple(answer.get("steps", ())), request)
    requests = [
        {**request, "what": "kill twice", "again at": at, "again step": step}
        for course, request in courses.items()
        for at, step in deaths(list(course))
    ]
    play(pool, f"recovery killed, {store}", name, requests, everything, 40, record_property)
