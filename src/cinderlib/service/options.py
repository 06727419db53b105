"""The options of the service, from the table ``[service]`` of the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cinderlib import errors, value_checks
from cinderlib.service import listeners, logs
from cinderlib.service.roles import Role


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the service is reached.

    :ivar socket: path of the UNIX socket.
    :ivar mode: of the socket.
    :ivar group: whose members may connect, by ID.
    :ivar role: of the users whom the socket's mode lets in, except root and the service's own user.
    :ivar listen: ``HOST:PORT`` for other hosts, with mutual TLS; by default none.
    :ivar certificate: file with the service's certificate, and its key if ``key`` is not given.
    :ivar client_ca: file with the certificates that clients' certificates must be signed by.
    :ivar clients: common name of a client's certificate -> its role.
    :ivar idle_timeout: seconds without a request after which the service ends; 0 for never.
    :ivar stop_timeout: seconds that calls that run are given when the service stops.
    :ivar threads: how many calls that change something are worked on at once.
    :ivar links: the folder in which clients may have links to attached devices.
    :ivar stats_interval: age in seconds after which the capacity of a backend is queried again
        for the metrics; 0 disables the queries.
    :ivar traces: whether to send traces.
    :ivar log: one of :data:`cinderlib.service.logs.FORMS`.
    """

    socket: Path
    mode: int = 0o660
    group: int | None = None
    role: Role = Role.OPERATE
    listen: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    clients: Mapping[str, Role] = dataclasses.field(default_factory=dict)
    idle_timeout: float = 0.0
    stop_timeout: float = 60.0
    threads: int = 64
    links: Path = Path("/dev/cinderlib")
    stats_interval: float = 300.0
    log: str = "auto"
    traces: bool = False


def _mode(value: Any, what: str) -> int:
    try:
        mode = int(str(value), 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        shown = value_checks.shown(value)
        raise errors.OutOfRange(f"The {what} must be octal from '0000' to '0777', not {shown}.")
    return mode


def _role(value: Any, what: str) -> Role:
    return Role(value_checks.check_choice(value, [role.value for role in Role], what))


def _clients(value: Any, what: str) -> dict[str, Role]:
    table = value_checks.check_mapping(value, what)
    return {name: _role(role, f"role of client {name!r}") for name, role in table.items()}


def _threads(value: Any, what: str) -> int:
    return value_checks.check_whole_number(value, what, least=1, most=10_000)


_CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "mode": _mode,
    "group": lambda value, what: listeners.group_id(value),
    "role": _role,
    "clients": _clients,
    "idle_timeout": value_checks.check_seconds,
    "stop_timeout": value_checks.check_seconds,
    "threads": _threads,
    "stats_interval": value_checks.check_seconds,
    "traces": value_checks.check_flag,
    "log": lambda value, what: value_checks.check_choice(value, logs.FORMS, what),
}


def of_table(table: Mapping[str, Any]) -> Options:
    """The options of a configuration's ``[service]``.

    :raises ConfigurationError: a value is impossible.
    """
    given = dict(table)
    for name, check in _CHECKS.items():
        if name in given:
            try:
                given[name] = check(given[name], f"option {name}")
            except errors.InvalidInput as exc:
                raise errors.ConfigurationError(f"[service]: {exc}") from None
    return Options(**given)
