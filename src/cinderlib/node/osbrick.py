"""Loads os-brick: on first use, one connector at a time, and without changes to the program that
uses this library.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shlex
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from cinderlib.errors import NodeError, Unsupported
from cinderlib.locking import state_folder
from cinderlib.node import command

_CONNECTORS = "os_brick.initiator.connectors."
_FIBRE_CHANNEL = {
    "s390": "fibre_channel_s390x.FibreChannelConnectorS390X",
    "s390x": "fibre_channel_s390x.FibreChannelConnectorS390X",
    "ppc64": "fibre_channel_ppc64.FibreChannelConnectorPPC64",
    "ppc64le": "fibre_channel_ppc64.FibreChannelConnectorPPC64",
}
# os-brick's own table is not used: its module imports every connector.
_CLASSES = {
    "fibre_channel": _FIBRE_CHANNEL.get(platform.machine(), "fibre_channel.FibreChannelConnector"),
    "glusterfs": "remotefs.RemoteFsConnector",
    "gpfs": "gpfs.GPFSConnector",
    "huaweisdshypervisor": "huawei.HuaweiStorHyperConnector",
    "iscsi": "iscsi.ISCSIConnector",
    "iser": "iscsi.ISCSIConnector",
    "lightos": "lightos.LightOSConnector",
    "nfs": "remotefs.RemoteFsConnector",
    "nvme": "nvmeof.NVMeOFConnector",
    "nvmeof": "nvmeof.NVMeOFConnector",
    "quobyte": "remotefs.RemoteFsConnector",
    "rbd": "rbd.RBDConnector",
    "scaleio": "scaleio.ScaleIOConnector",
    "scality": "remotefs.RemoteFsConnector",
    "storpool": "storpool.StorPoolConnector",
    "vmdk": "vmware.VmdkConnector",
    "vzstorage": "remotefs.RemoteFsConnector",
}
_PRIVSEP_GROUP = "privsep_osbrick"
_PRIVSEP_THREADS = 16
_HELPER = "import sys; from oslo_privsep.daemon import helper_main; sys.exit(helper_main())"

_lock = threading.RLock()


def protocols() -> frozenset[str]:
    """The protocols for which os-brick has a connector."""
    return frozenset(_CLASSES)


def connector_class(protocol: str) -> Any:
    """os-brick's class for a protocol.

    :raises Unsupported: os-brick has no connector for it.
    :raises NodeError: os-brick, or a package that it needs for the protocol, cannot be imported.
    """
    try:
        module, _, name = _CLASSES[protocol].rpartition(".")
    except KeyError:
        raise Unsupported(f"os-brick has no connector for {protocol!r}.") from None
    return getattr(_import(_CONNECTORS + module), name)


def connector_module() -> Any:
    """os-brick's module that imports every connector."""
    return _import("os_brick.initiator.connector")


def encryptor(provider: str, link: Path, keys: Any, execute: Callable[..., Any]) -> Any:
    """os-brick's encryptor for a device.

    :param provider: ``'luks'`` or ``'luks2'``.
    :param link: a symbolic link to the device. Its name is the name of the decrypted device, with
        the prefix ``crypt-``. After the attach it leads to the decrypted device.
    :param keys: has the key, with the interface of castellan's key managers.
    :param execute: runs programs, with the interface of oslo.concurrency.
    :raises NodeError: os-brick cannot be imported.
    """
    encryptors = _import("os_brick.encryptors")
    info = {"driver_volume_type": "", "data": {"device_path": str(link)}}
    return encryptors.get_volume_encryptor(
        *("", info, keys, execute), provider=provider, control_location="front-end"
    )


def program_failed(status: int, reason: str) -> Exception:
    """The error that os-brick expects of a program that failed."""
    from oslo_concurrency import processutils

    failed: Exception = processutils.ProcessExecutionError(exit_code=status, stderr=reason)
    return failed


def prepare(root_helper: str | None, lock_path: Path | None = None) -> None:
    """Set os-brick's options before a connector is used. Settings of the program do not change.

    :param root_helper: the command that runs other commands as root.
    :param lock_path: folder for os-brick's locks between processes of this host; needed to attach.
    """
    with _lock:
        brick = _import("os_brick")
        privileged = _import("os_brick.privileged")
        import oslo_concurrency.lockutils  # noqa: F401  (its options)
        from oslo_config import cfg

        # Only defaults are set, because they do not override the program's configuration. They are
        # set each time, because the program drops them when it loads its configuration.
        conf = cfg.CONF
        if not conf.os_brick.lock_path:
            brick.setup(conf)
        if lock_path and not conf.os_brick.lock_path:
            state_folder.make(lock_path)
            conf.set_default("lock_path", str(lock_path), "os_brick")
        if os.geteuid() == 0:
            for context in (privileged.default, privileged.brick_privsep_hide_output):
                if context.channel is None:  # No code in this process has started a daemon for it.
                    context.set_client_mode(False)
        elif root_helper:
            # sudo does not search virtual environments, so the command uses this Python's path.
            helper = command.as_root([sys.executable, "-W", "ignore", "-c", _HELPER], root_helper)
            conf.set_default("helper_command", shlex.join(helper), _PRIVSEP_GROUP)
            conf.set_default("thread_pool_size", _PRIVSEP_THREADS, _PRIVSEP_GROUP)


def _import(name: str) -> Any:
    if module := sys.modules.get(name):
        return module
    with _lock, _host_untouched():
        try:
            if name.endswith((".connector", ".fibre_channel")) or "fibre_channel_" in name:
                _choose_native_threads()
            return _in_own_thread(name)
        except ImportError as exc:
            raise NodeError(
                f"os-brick cannot be used: {exc}. Install os-brick and the packages that it needs.",
                retryable=False,
            ) from exc


def _in_own_thread(name: str) -> Any:
    """Import a module. eventlet imports a second copy of ``threading``, and the thread that does so
    can never be joined: it must not be one of the program's, for example of a pool.
    """
    if threading.current_thread() is threading.main_thread():
        return importlib.import_module(name)
    imported: Future[Any] = Future()

    def run() -> None:
        try:
            imported.set_result(importlib.import_module(name))
        except BaseException as exc:
            imported.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return imported.result()


@contextlib.contextmanager
def _host_untouched() -> Iterator[None]:
    """os-brick replaces ``time.sleep`` when it is imported. It also imports eventlet, which is not
    used here, warns that it is deprecated, and loads a slow name resolution."""
    sleep, greendns = time.sleep, os.environ.get("EVENTLET_NO_GREENDNS")
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
            yield
    finally:
        time.sleep = sleep
        if greendns is None:
            del os.environ["EVENTLET_NO_GREENDNS"]
        else:
            os.environ["EVENTLET_NO_GREENDNS"] = greendns


def _choose_native_threads() -> None:
    # Otherwise an import of the Fibre Channel connector would choose eventlet for this process.
    from oslo_service import backend

    # Native threads need futurist, which a host may not have; then the choice does not change.
    with contextlib.suppress(backend.exceptions.BackendAlreadySelected, ValueError):
        backend.init_backend(backend.BackendType.THREADING)
