"""iSCSI: open-iscsi, this host's initiator name, timeouts of sessions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

NAME_FILE = "/etc/iscsi/initiatorname.iscsi"
SETTINGS = "/etc/iscsi/iscsid.conf"

_SOCKET = "ISCSIADM_ABSTRACT_NAMESPACE"
_NAME = re.compile(
    r"iqn\.\d{4}-\d{2}\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[^\sA-Z]+)?"
    r"|eui\.[0-9A-Fa-f]{16}|naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})"
)
#: Patterns of names in sample files and in images that were copied to many hosts.
_PLACEHOLDER = re.compile(
    r"change-?me|placeholder|your-?(host|name)|:(example|default)$|:$|:0+$|:(\w)\3{5,}$|:123456\w*$",
    re.IGNORECASE,
)
#: How long writes may wait for a dead path, in seconds, if there are other paths.
_LONGEST_HOLD = 30


def start_daemon(host: Host) -> tuple[str, ...]:
    """The commands that start iscsid."""
    load = ("modprobe iscsi_tcp",) if host.module("iscsi_tcp") == "loadable" else ()
    return repair_commands.start(host, "iscsid", _SOCKET, *load, "mkdir -p /run/lock/iscsi")


def check(host: Host) -> Iterator[Finding]:
    """Find problems with iSCSI."""
    meaning = "no volume can be attached over iSCSI"
    yield from repair_commands.modules(host, ["iscsi_tcp"], "iscsi.module", meaning)
    if host.which("iscsiadm") is None:
        then = (
            start_daemon(host)
            if not host.has_systemd or repair_commands.family(host) == "rhel"
            else ()
        )
        yield repair_commands.missing(host, "iscsi.commands", ["iscsiadm"], meaning, *then)
        return
    yield from _name(host)
    if not host.is_listening(_SOCKET) and not _starts_by_itself(host):
        yield Finding(
            check="iscsi.daemon",
            severity="error",
            problem="iscsid does not run, and is not started on demand",
            meaning="no session to a target can be opened",
            commands=start_daemon(host),
        )
    yield from _settings(host)


def name_of(host: Host) -> str | None:
    """This host's initiator name; the first one, as os-brick reads it."""
    return next(iter(_names(host.read(NAME_FILE) or "")), None)


def _names(text: str) -> list[str]:
    found = (re.match(r"InitiatorName\s*=\s*(\S*)", line) for line in text.splitlines())
    return [match[1] for match in found if match and match[1]]


def _name(host: Host) -> Iterator[Finding]:
    check = "iscsi.initiator-name"
    # Sessions use a new name from the next login on.
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
                problem=f"{NAME_FILE} does not exist; it defines this host's initiator name",
                meaning="iscsid does not start, and no array can map a volume to this host",
                commands=new,
            )
        return  # The file cannot be read: the check of the root helper reports that.
    names = _names(text)
    if not names:
        yield Finding(
            check=check,
            severity="error",
            problem=f"{NAME_FILE} has no line InitiatorName=...",
            meaning="iscsid does not start, and no array can map a volume to this host",
            commands=new,
        )
        return
    name = names[0]
    advice = "Change the name on arrays where this host has the old name."
    if _PLACEHOLDER.search(name):
        yield Finding(
            check=check,
            severity="error",
            problem=f"the initiator name {name} is a placeholder",
            meaning="another host with the same name has access to this host's volumes and can"
            " destroy their data",
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
            problem=f"the initiator name {name} "
            + ("has capital letters" if fits else "is not an iqn, eui or naa name"),
            meaning="arrays store it in lower case and then do not find this host"
            if fits
            else "targets reject it",
            commands=(sed, restart) if fits else new,
            advice=advice,
        )
    if len(set(names)) > 1:
        yield Finding(
            check=check,
            severity="warning",
            problem=f"{NAME_FILE} has {len(names)} names",
            meaning="a volume may be mapped to one name while iscsid logs in with another",
            advice="Keep only the name that arrays use for this host, and restart iscsid.",
        )
    yield from _used_name(host, name, restart)
    if host.file(NAME_FILE).stat().st_mode & 0o022:
        yield Finding(
            check=check,
            severity="warning",
            problem=f"{NAME_FILE} can be written by other users",
            meaning="other users can give this host another host's name and read its volumes",
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
                problem=f"sessions use the name {used}, but {NAME_FILE} has {name}",
                meaning="volumes that are mapped to the new name do not appear",
                commands=(restart,),
                advice="First detach all volumes, so that the sessions end.",
            )
            return


def _starts_by_itself(host: Host) -> bool:
    startup = settings(host).get("iscsid.startup", "").split()
    if not startup or host.which(startup[0]) is None or startup[0] == "/bin/true":
        return False
    return host.has_systemd or not startup[0].endswith("systemctl")


def settings(host: Host) -> dict[str, str]:
    """The settings in ``iscsid.conf``."""
    lines = (host.read(SETTINGS) or "").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and line.lstrip()[0] != "#")
    return {name.strip(): value.strip() for name, _, value in pairs}


def seconds(value: str | None, default: int) -> int:
    """A time in ``iscsid.conf``, in seconds."""
    return int(value) if value and value.lstrip("-").isdigit() else default


def set_seconds(name: str, value: int) -> str:
    """The command that changes a time in ``iscsid.conf`` or adds it."""
    pattern = re.escape(name)
    change = shlex.quote(f"s|^{pattern} *=.*|{name} = {value}|")
    line = shlex.quote(f"^{pattern} *=")
    return (
        f"if grep -q {line} {SETTINGS}; then sed -i {change} {SETTINGS};"
        f" else echo {shlex.quote(f'{name} = {value}')} >>{SETTINGS}; fi"
    )


def check_with_multipath(host: Host, fast_io_fail: int | None) -> Iterator[Finding]:
    """Check that a dead path fails in time for another path to be used.

    :param fast_io_fail: multipathd's setting for sessions, in seconds; ``None`` if it sets none.
    """
    name = "node.session.timeo.replacement_timeout"
    hold = fast_io_fail
    if hold is None:
        hold = seconds(settings(host).get(name), 120)
    if hold > _LONGEST_HOLD or hold <= 0:
        yield Finding(
            check="iscsi.replacement-timeout",
            severity="warning",
            problem=f"a dead path fails only after {hold} seconds ({name})"
            if hold > 0
            else f"a dead path never fails ({name} = {hold})",
            meaning="writes wait that long before another path is used",
            commands=(set_seconds(name, 20),),
            advice="The change affects targets at their next login.",
        )


def _settings(host: Host) -> Iterator[Finding]:
    # Discovered nodes keep their settings, but attaching a volume discovers them again.
    name = "node.conn[0].timeo.noop_out_interval"
    if settings(host).get(name) == "0":
        yield Finding(
            check="iscsi.noop-out",
            severity="warning",
            problem=f"sessions do not check whether the target answers ({name} = 0)",
            meaning="a failure of an idle path is detected only minutes later",
            commands=(set_seconds(name, 5),),
        )
