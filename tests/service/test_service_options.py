"""The values that [service] of the configuration may have."""

from __future__ import annotations

import pathlib

import pytest

from cinderlib import errors
from cinderlib.service import options
from cinderlib.service.roles import Role

SOCKET = {"socket": pathlib.Path("/run/s.sock")}


def test_valid_values() -> None:
    chosen = options.of_table(
        {**SOCKET, "mode": "0600", "role": "read", "clients": {"a": "node"}, "threads": 1}
    )
    assert (chosen.mode, chosen.role, chosen.clients) == (0o600, Role.READ, {"a": Role.NODE})
    assert options.of_table(SOCKET).role is Role.OPERATE


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"role": "root"}, "read"),
        ({"clients": {"host7": "root"}}, "host7"),
        ({"mode": "rw"}, "octal"),
        ({"mode": "1000000"}, "octal"),
        ({"mode": "-1"}, "octal"),
        ({"threads": 0}, "threads"),
        ({"idle_timeout": -1}, "idle_timeout"),
        ({"idle_timeout": float("nan")}, "idle_timeout"),
        ({"stop_timeout": float("inf")}, "stop_timeout"),
        ({"group": "no such group"}, "no such group"),
    ],
)
def test_impossible_values_are_explained(table: dict[str, object], named: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"\[service\]: .*" + named):
        options.of_table({**SOCKET, **table})
