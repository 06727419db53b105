"""Several paths to one volume: multipathd and its configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from cinderlib.node.checks import iscsi, repair_commands
from cinderlib.node.checks import multipath_conf as conf
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_DROP_INS = "/etc/multipath/conf.d"  # read after multipath.conf, so these settings win
_SOCKET = "/org/kernel/linux/storage/multipathd"
_DEFAULT_FAST_IO_FAIL = 5


def check(host: Host, protocols: Collection[str]) -> Iterator[Finding]:
    """Find problems with multipath.

    :param protocols: the protocols of the volumes.
    """
    meaning = "a volume is used over one path, or not attached at all"
    modules = ("dm_mod", "dm_multipath")
    yield from repair_commands.modules(host, modules, "multipath.module", meaning)
    start = _start(host)
    commands = [name for name in ("multipath", "multipathd") if host.which(name) is None]
    if commands:
        yield repair_commands.missing(host, "multipath.commands", commands, meaning, *start)
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
    daemon = repair_commands.start(host, "multipathd", _SOCKET, "modprobe dm_multipath")
    if repair_commands.family(host) == "rhel" and not host.exists("/etc/multipath.conf"):
        # On these distributions the service does not start without the file.
        return ("mpathconf --enable --user_friendly_names n --find_multipaths y", *daemon)
    return daemon


def _configuration(
    host: Host, config: conf.Section, protocols: Collection[str], running: bool
) -> Iterator[Finding]:
    def repair(key: str, value: str) -> tuple[str, ...]:
        section = conf.section_of(config, key)
        lines = (f"{section} {{", f"    {key} {value}", "}")
        return (
            f"mkdir -p {_DROP_INS}",
            repair_commands.write(f"{_DROP_INS}/cinderlib-{key.replace('_', '-')}.conf", *lines),
            *(("multipathd reconfigure",) if running else ()),
        )

    friendly = conf.effective(config, "user_friendly_names")
    if friendly in ("yes", "on", "1"):
        yield Finding(
            check="multipath.user-friendly-names",
            severity="warning",
            problem="user_friendly_names is on: maps have the names mpatha, mpathb, ...",
            meaning="the name of a volume's device differs between hosts, and oVirt and other"
            " programs that search for the WWID do not find the device",
            commands=repair("user_friendly_names", "no"),
            advice="Existing maps keep their names until they are detached.",
        )
    yield from _find_multipaths(config, protocols, repair("find_multipaths", "yes"))
    yield from _hidden(config, protocols)
    queues = "queue_if_no_path" in (conf.effective(config, "features") or "")
    # no_path_retry overrides queue_if_no_path in features.
    if (conf.effective(config, "no_path_retry") or ("queue" if queues else "")) == "queue":
        yield Finding(
            check="multipath.no-path-retry",
            severity="warning",
            problem="writes to a volume without a path wait forever (no_path_retry queue)",
            meaning="if the array fails, a detach and a shutdown of the host never finish",
            commands=repair("no_path_retry", "60"),
            advice="The number is the number of retries, polling_interval seconds apart.",
        )
    yield from _timeouts(host, config, protocols, repair)


def _find_multipaths(
    config: conf.Section, protocols: Collection[str], commands: tuple[str, ...]
) -> Iterator[Finding]:
    value = conf.effective(config, "find_multipaths")
    if value in ("no", "off", "0", "greedy"):
        yield Finding(
            check="multipath.find-multipaths",
            severity="warning",
            problem=f"find_multipaths is {value}: multipathd creates a map of every disk that it"
            " may use",
            meaning="this includes disks with one path and this host's own disks, which are then"
            " busy under their own names",
            commands=commands,
        )
    elif value == "strict" and "fc" in protocols:
        yield Finding(
            check="multipath.find-multipaths",
            severity="error",
            problem="find_multipaths is strict: multipathd ignores volumes that it does not know",
            meaning="volumes over Fibre Channel get no map; over iSCSI os-brick announces them",
            commands=commands,
        )


def _hidden(config: conf.Section, protocols: Collection[str]) -> Iterator[Finding]:
    samples = [("devnode", "sda"), ("wwid", "36001405a1b2c3d4e5f60718293a4b5c6")]
    samples += [
        ("protocol", name)
        for protocol, name in (("iscsi", "scsi:iscsi"), ("fc", "scsi:fcp"))
        if protocol in protocols
    ]
    for kind, value in samples:
        pattern = conf.hides(config, kind, value)
        if pattern is not None:
            yield Finding(
                check="multipath.blacklist",
                severity="error",
                problem=f'the blacklist hides volumes from multipathd: {kind} "{pattern}"',
                meaning="they get no map, and are used over one path",
                advice=f'Remove the line from /etc/multipath.conf, or add {kind} "{value}" to its'
                " blacklist_exceptions in the form that fits your arrays; then run `multipathd"
                " reconfigure`.",
            )


def _timeouts(
    host: Host,
    config: conf.Section,
    protocols: Collection[str],
    repair: Callable[[str, str], tuple[str, ...]],
) -> Iterator[Finding]:
    value = conf.effective(config, "fast_io_fail_tmo")
    fast = None if value == "off" else iscsi.seconds(value, _DEFAULT_FAST_IO_FAIL)
    if value == "off" and "fc" in protocols:
        yield Finding(
            check="multipath.fast-io-fail",
            severity="warning",
            problem="fast_io_fail_tmo is off: writes wait for a dead path",
            meaning="another path is used only when the kernel removes the dead path",
            commands=repair("fast_io_fail_tmo", "5"),
        )
    loss = conf.effective(config, "dev_loss_tmo")
    if fast is not None and loss and loss.isdigit() and int(loss) <= fast:
        yield Finding(
            check="multipath.dev-loss",
            severity="warning",
            problem=f"dev_loss_tmo ({loss}) is not longer than fast_io_fail_tmo ({fast})",
            meaning="devices of a path are removed before writes use another path",
            commands=repair("dev_loss_tmo", "600"),
        )
    if "iscsi" in protocols:
        yield from iscsi.check_with_multipath(host, fast)
