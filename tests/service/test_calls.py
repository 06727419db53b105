"""The service keeps the results of calls for a while, and forgets the oldest first."""

from __future__ import annotations

import pytest

from cinderlib import errors
from cinderlib.service import calls, dispatch
from cinderlib.service.calls import Call, Calls
from cinderlib.service.roles import Peer, Role

CLIENT = Peer("operator", Role.OPERATE)


def _begin(all_calls: Calls, id: str) -> Call:
    call, is_new = all_calls.begin("volume.create", CLIENT, id=id, fingerprint="")
    assert is_new
    return call


def test_a_call_that_runs_is_never_forgotten_and_the_oldest_results_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "KEPT", 10)
    all_calls = Calls()
    running = _begin(all_calls, "running")
    for number in range(30):
        _begin(all_calls, f"call {number}").run(lambda: None)
    assert all_calls.get("running") is running
    assert all_calls.get("call 29").state == "done"
    with pytest.raises(errors.NotFound):
        all_calls.get("call 0")
    assert len(all_calls.all()) <= 11


def test_an_old_result_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "KEPT_FOR", -1.0)
    all_calls = Calls()
    _begin(all_calls, "old").run(lambda: None)
    _begin(all_calls, "new")
    with pytest.raises(errors.NotFound):
        all_calls.get("old")


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/v1/volumes", ("list", "")),
        ("GET", "/v1/volumes/a", ("show", "a")),
        ("POST", "/v1/volumes/a/extend", ("extend", "a")),
        ("POST", "/v1/recover", ("recover", "")),
        ("POST", "/v1/volumes", None),
        ("GET", "/v1/volumes/", None),
        ("GET", "/v1/volumes/{id}", ("show", "{id}")),
        ("POST", "/v1/volumes/a/extend/b", None),
        ("POST", "/v1/volumes//extend", None),
        ("GET", "/", None),
        ("GET", "", None),
    ],
)
def test_a_path_leads_to_its_endpoint(
    method: str, path: str, found: tuple[str, str] | None
) -> None:
    table = dispatch.Table(
        [
            ("GET", "/v1/volumes", "list"),
            ("GET", "/v1/volumes/{id}", "show"),
            ("POST", "/v1/volumes/{id}/extend", "extend"),
            ("POST", "/v1/recover", "recover"),
        ]
    )
    assert table.find(method, path) == found
