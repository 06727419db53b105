"""Several paths to one volume: multipathd and how it is configured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from cinderlib.node.checks import iscsi, mending
from cinderlib.node.checks import multipath_conf as conf
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_DROP_INS = "/etc/multipath/conf.d"  # read after multipath.conf, so what is in them holds
_SOCKET = "/org/kernel/linux/storage/multipathd"
_DEFAULT_FAST_IO_FAIL = 5


def check(host: Host, protocols: Collection[str]) -> Iterator[Finding]:
    """What keeps this host from using a volume over several paths.

    :param protocols: what it is attached over.
    """
    meaning = "a volume is used over one path, or not attached at all"
    modules = ("dm_mod", "dm_multipath")
    yield from mending.modules(host, modules, "multipath.module", meaning)
    start = _start(host)
    commands = [name for name in ("multipath", "multipathd") if host.which(name) is None]
    if commands:
        yield mending.missing(host, "multipath.commands", commands, meaning, *start)
        return
    running = host.is_listening(_SOCKET)
    if not running:
        yield Finding(
            check="multipath.daemon",
            severity="error",
            problem="multipathd does not run",
            meaning=meaning,
            commands=start,
        )
    text = (host.output("multipathd", "show", "config") if running else None) or host.output(
        "multipath", "-t"
    )
    if text is not None:
        yield from _configuration(host, conf.parse(text), protocols, running)


def _start(host: Host) -> tuple[str, ...]:
    daemon = mending.start(host, "multipathd", _SOCKET, "modprobe dm_multipath")
    if mending.family(host) == "rhel" and not host.exists("/etc/multipath.conf"):
        # Without the file the service does not start there.
        return ("mpathconf --enable --user_friendly_names n --find_multipaths y", *daemon)
    return daemon


def _configuration(
    host: Host, config: conf.Section, protocols: Collection[str], running: bool
) -> Iterator[Finding]:
    def mend(key: str, value: str) -> tuple[str, ...]:
        section = conf.section_of(config, key)
        lines = (f"{section} {{", f"    {key} {value}", "}")
        return (
            f"mkdir -p {_DROP_INS}",
            mending.write(f"{_DROP_INS}/cinderlib-{key.replace('_', '-')}.conf", *lines),
            *(("multipathd reconfigure",) if running else ()),
        )

    friendly = conf.effective(config, "user_friendly_names")
    if friendly in ("yes", "on", "1"):
        yield Finding(
            check="multipath.user-friendly-names",
            severity="warning",
            problem="user_friendly_names is on: maps are called mpatha, mpathb, ...",
            meaning="the name of a volume's device differs from host to host, and oVirt and others"
            " that look for it by its WWID do not find it",
            commands=mend("user_friendly_names", "no"),
            advice="Maps that are there keep their names until they are detached.",
        )
    yield from _find_multipaths(config, protocols, mend("find_multipaths", "yes"))
    yield from _hidden(config, protocols)
    queues = "queue_if_no_path" in (conf.effective(config, "features") or "")
    # What the one says of it is not asked for when the other is set.
    if (conf.effective(config, "no_path_retry") or ("queue" if queues else "")) == "queue":
        yield Finding(
            check="multipath.no-path-retry",
            severity="warning",
            problem="a volume without a path holds what is written for ever (no_path_retry queue)",
            meaning="when its array is away, a detach does not end, and neither does a shutdown",
            commands=mend("no_path_retry", "60"),
            advice="The number is how often paths are tried, polling_interval seconds apart.",
        )
    yield from _timeouts(host, config, protocols, mend)


def _find_multipaths(
    config: conf.Section, protocols: Collection[str], commands: tuple[str, ...]
) -> Iterator[Finding]:
    value = conf.effective(config, "find_multipaths")
    if value in ("no", "off", "0", "greedy"):
        yield Finding(
            check="multipath.find-multipaths",
            severity="warning",
            problem=f"find_multipaths is {value}: multipathd takes every disk that it may",
            meaning="also those with one path and this host's own, which are then busy under their"
            " own names",
            commands=commands,
        )
    elif value == "strict" and "fc" in protocols:
        yield Finding(
            check="multipath.find-multipaths",
            severity="error",
            problem="find_multipaths is strict: multipathd takes no volume that it has not seen",
            meaning="volumes over Fibre Channel get no map; over iSCSI os-brick announces them",
            commands=commands,
        )


def _hidden(config: conf.Section, protocols: Collection[str]) -> Iterator[Finding]:
    looked_for = [("devnode", "sda"), ("wwid", "36001405a1b2c3d4e5f60718293a4b5c6")]
    looked_for += [
        ("protocol", name)
        for protocol, name in (("iscsi", "scsi:iscsi"), ("fc", "scsi:fcp"))
        if protocol in protocols
    ]
    for kind, value in looked_for:
        pattern = conf.hides(config, kind, value)
        if pattern is not None:
            yield Finding(
                check="multipath.blacklist",
                severity="error",
                problem=f'the blacklist hides volumes from multipathd: {kind} "{pattern}"',
                meaning="they get no map, and are used over one path",
                advice=f'Take the line from /etc/multipath.conf, or add {kind} "{value}" to its'
                " blacklist_exceptions in the form that fits your arrays; then run `multipathd"
                " reconfigure`.",
            )


def _timeouts(
    host: Host,
    config: conf.Section,
    protocols: Collection[str],
    mend: Callable[[str, str], tuple[str, ...]],
) -> Iterator[Finding]:
    value = conf.effective(config, "fast_io_fail_tmo")
    fast = None if value == "off" else iscsi.seconds(value, _DEFAULT_FAST_IO_FAIL)
    if value == "off" and "fc" in protocols:
        yield Finding(
            check="multipath.fast-io-fail",
            severity="warning",
            problem="fast_io_fail_tmo is off: a dead path holds what is written",
            meaning="another path is used only when the kernel removes the dead one",
            commands=mend("fast_io_fail_tmo", "5"),
        )
    loss = conf.effective(config, "dev_loss_tmo")
    if fast is not None and loss and loss.isdigit() and int(loss) <= fast:
        yield Finding(
            check="multipath.dev-loss",
            severity="warning",
            problem=f"dev_loss_tmo ({loss}) is not longer than fast_io_fail_tmo ({fast})",
            meaning="devices of a path are removed before what is written goes to another",
            commands=mend("dev_loss_tmo", "600"),
        )
    if "iscsi" in protocols:
        yield from iscsi.check_with_multipath(host, fast)
