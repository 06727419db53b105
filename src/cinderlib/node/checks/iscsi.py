"""iSCSI: open-iscsi, the name of this host's initiator, the time-outs of sessions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from cinderlib.node.checks import mending
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

NAME_FILE = "/etc/iscsi/initiatorname.iscsi"
SETTINGS = "/etc/iscsi/iscsid.conf"

_SOCKET = "ISCSIADM_ABSTRACT_NAMESPACE"
_NAME = re.compile(
    r"iqn\.\d{4}-\d{2}\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[^\sA-Z]+)?"
    r"|eui\.[0-9A-Fa-f]{16}|naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})"
)
#: What is in files that were written to be changed, and in images that many hosts were made of.
_PLACEHOLDER = re.compile(
    r"change-?me|placeholder|your-?(host|name)|:(example|default)$|:$|:0+$|:(\w)\3{5,}$|:123456\w*$",
    re.IGNORECASE,
)
#: How long a path that is dead may hold what is written, in seconds, when there are others.
_LONGEST_HOLD = 30


def start_daemon(host: Host) -> tuple[str, ...]:
    """What starts iscsid."""
    load = ("modprobe iscsi_tcp",) if host.module("iscsi_tcp") == "loadable" else ()
    return mending.start(host, "iscsid", _SOCKET, *load, "mkdir -p /run/lock/iscsi")


def check(host: Host) -> Iterator[Finding]:
    """What keeps this host from attaching over iSCSI."""
    meaning = "no volume can be attached over iSCSI"
    yield from mending.modules(host, ["iscsi_tcp"], "iscsi.module", meaning)
    if host.which("iscsiadm") is None:
        then = start_daemon(host) if not host.has_systemd or mending.family(host) == "rhel" else ()
        yield mending.missing(host, "iscsi.commands", ["iscsiadm"], meaning, *then)
        return
    yield from _name(host)
    if not host.is_listening(_SOCKET) and not _starts_by_itself(host):
        yield Finding(
            check="iscsi.daemon",
            severity="error",
            problem="iscsid does not run, and nothing starts it when it is asked for",
            meaning="no session to a target can be opened",
            commands=start_daemon(host),
        )
    yield from _settings(host)


def name_of(host: Host) -> str | None:
    """The name of this host's initiator; the first, as os-brick takes it."""
    return next(iter(_names(host.read(NAME_FILE) or "")), None)


def _names(text: str) -> list[str]:
    found = (re.match(r"InitiatorName\s*=\s*(\S*)", line) for line in text.splitlines())
    return [match[1] for match in found if match and match[1]]


def _name(host: Host) -> Iterator[Finding]:
    check = "iscsi.initiator-name"
    # A new name is known to targets from the next login on.
    restart = "systemctl restart iscsid" if host.has_systemd else "pkill -x iscsid; iscsid"
    new = (
        "mkdir -p /etc/iscsi",
        f'echo "InitiatorName=$(iscsi-iname)" >{NAME_FILE}',
        f"chmod 600 {NAME_FILE}",
        restart,
    )
    text = host.read(NAME_FILE)
    if text is None:
        if not host.exists(NAME_FILE):
            yield Finding(
                check=check,
                severity="error",
                problem=f"there is no {NAME_FILE}, which gives this host its name as an initiator",
                meaning="iscsid does not start, and no array can map a volume for this host",
                commands=new,
            )
        return  # It may not be read: the check of the root helper says so.
    names = _names(text)
    if not names:
        yield Finding(
            check=check,
            severity="error",
            problem=f"{NAME_FILE} has no line InitiatorName=...",
            meaning="iscsid does not start, and no array can map a volume for this host",
            commands=new,
        )
        return
    name = names[0]
    advice = "Arrays that know this host by the old name must be told the new one."
    if _PLACEHOLDER.search(name):
        yield Finding(
            check=check,
            severity="error",
            problem=f"the initiator is called {name}, which is a placeholder",
            meaning="another host with the same name gets this one's volumes, and destroys them",
            commands=new,
            advice=advice,
        )
    elif not _NAME.fullmatch(name):
        lower = name.lower()
        fits = _NAME.fullmatch(lower) is not None
        sed = f"sed -i {shlex.quote(f's|^InitiatorName=.*|InitiatorName={lower}|')} {NAME_FILE}"
        yield Finding(
            check=check,
            severity="warning" if fits else "error",
            problem=f"the initiator's name {name} "
            + ("has capital letters" if fits else "is neither an iqn, an eui nor an naa"),
            meaning="arrays write it in small letters and then find no such host"
            if fits
            else "targets refuse it",
            commands=(sed, restart) if fits else new,
            advice=advice,
        )
    if len(set(names)) > 1:
        yield Finding(
            check=check,
            severity="warning",
            problem=f"{NAME_FILE} has {len(names)} names",
            meaning="a volume may be mapped for one of them while iscsid logs in with another",
            advice="Leave the line that arrays know this host by, and restart iscsid.",
        )
    yield from _used_name(host, name, restart)
    if host.file(NAME_FILE).stat().st_mode & 0o022:
        yield Finding(
            check=check,
            severity="warning",
            problem=f"{NAME_FILE} can be written by other users",
            meaning="who gives this host another's name reads the other's volumes",
            commands=(f"chmod 600 {NAME_FILE}",),
        )


def _used_name(host: Host, name: str, restart: str) -> Iterator[Finding]:
    folder = "/sys/class/iscsi_session"
    for session in host.names(folder):
        used = (host.read(f"{folder}/{session}/initiatorname") or "").strip()
        if used and used not in (name, "<NULL>"):
            yield Finding(
                check="iscsi.initiator-name",
                severity="warning",
                problem=f"sessions are logged in as {used}, and {NAME_FILE} has {name}",
                meaning="volumes that are mapped for the new name do not appear",
                commands=(restart,),
                advice="Detach what is attached before, so that the sessions end.",
            )
            return


def _starts_by_itself(host: Host) -> bool:
    startup = settings(host).get("iscsid.startup", "").split()
    if not startup or host.which(startup[0]) is None or startup[0] == "/bin/true":
        return False
    return host.has_systemd or not startup[0].endswith("systemctl")


def settings(host: Host) -> dict[str, str]:
    """What ``iscsid.conf`` says."""
    lines = (host.read(SETTINGS) or "").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and line.lstrip()[0] != "#")
    return {name.strip(): value.strip() for name, _, value in pairs}


def seconds(value: str | None, default: int) -> int:
    """A time of ``iscsid.conf`` in seconds."""
    return int(value) if value and value.lstrip("-").isdigit() else default


def set_seconds(name: str, value: int) -> str:
    """The command that changes a time in ``iscsid.conf``, or adds it."""
    pattern = re.escape(name)
    change = shlex.quote(f"s|^{pattern} *=.*|{name} = {value}|")
    line = shlex.quote(f"^{pattern} *=")
    return (
        f"if grep -q {line} {SETTINGS}; then sed -i {change} {SETTINGS};"
        f" else echo {shlex.quote(f'{name} = {value}')} >>{SETTINGS}; fi"
    )


def check_with_multipath(host: Host, fast_io_fail: int | None) -> Iterator[Finding]:
    """Whether a dead path is given up in time for another to be used.

    :param fast_io_fail: what multipathd sets for sessions, in seconds; ``None``: nothing.
    """
    name = "node.session.timeo.replacement_timeout"
    hold = fast_io_fail
    if hold is None:
        hold = seconds(settings(host).get(name), 120)
    if hold > _LONGEST_HOLD or hold <= 0:
        yield Finding(
            check="iscsi.replacement-timeout",
            severity="warning",
            problem=f"a dead path is given up after {hold} seconds ({name})"
            if hold > 0
            else f"a dead path is never given up ({name} = {hold})",
            meaning="what is written waits as long before another path is used",
            commands=(set_seconds(name, 20),),
            advice="It holds for targets that are logged in to from then on.",
        )


def _settings(host: Host) -> Iterator[Finding]:
    # Nodes that were discovered keep what was written then; attaching discovers anew.
    name = "node.conn[0].timeo.noop_out_interval"
    if settings(host).get(name) == "0":
        yield Finding(
            check="iscsi.noop-out",
            severity="warning",
            problem=f"sessions are not asked whether they still answer ({name} = 0)",
            meaning="a path that is cut while nothing is written is noticed minutes later",
            commands=(set_seconds(name, 5),),
        )
