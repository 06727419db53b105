"""The files, kernel and commands of a host, for the checks."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import Literal

from cinderlib.errors import MissingDependency, NodeError
from cinderlib.node import command

#: Files that exist if the kernel has a feature, loaded as a module or built in.
_SHOWN_BY = {
    "dm_mod": "/sys/class/misc/device-mapper",
    "iscsi_tcp": "/sys/class/iscsi_transport/tcp",
    "loop": "/dev/loop-control",
    "nvme_fabrics": "/sys/class/misc/nvme-fabrics",
    "rbd": "/sys/bus/rbd",
}
#: Folders of commands for root, which are not in every user's PATH.
_OF_ROOT = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class Host:
    """Reads the state of this host, as root if that is necessary and possible.

    :param root_helper: the command that runs other commands as root; not used if this process is
        root.
    :param root: the root folder of the host, by default ``/``.
    :param path: search path for commands, by default ``PATH`` and the folders of root.
    :param uid: the user whose rights are checked, by default this process's.
    """

    def __init__(
        self,
        root_helper: str = "sudo",
        *,
        root: str | os.PathLike[str] = "/",
        path: str | None = None,
        uid: int | None = None,
    ) -> None:
        self.root_helper = root_helper
        self.is_root = (os.geteuid() if uid is None else uid) == 0
        self._root = Path(root)
        self._path = path or os.pathsep.join((os.environ.get("PATH", ""), *_OF_ROOT))

    def file(self, name: str) -> Path:
        """The path of a file on the host, such as ``/etc/os-release``."""
        return self._root / name.lstrip("/")

    def real(self, name: str) -> str:
        """The path without symbolic links."""
        return os.path.realpath(self.file(name))

    def exists(self, name: str) -> bool:
        """Whether a file or a folder exists."""
        return self.file(name).exists()

    def names(self, folder: str) -> list[str]:
        """The names in a folder; empty if the folder does not exist or cannot be read."""
        try:
            return sorted(os.listdir(self.file(folder)))
        except OSError:
            return []

    def read(self, name: str) -> str | None:
        """The content of a file; ``None`` if it does not exist or cannot be read."""
        file = self.file(name)
        try:
            return file.read_text(errors="replace")
        except PermissionError:
            return self.output("cat", str(file))
        except OSError:
            return None

    def which(self, name: str) -> str | None:
        """The path of a command; ``None`` if it is not installed."""
        if os.sep in name:
            name = str(self.file(name))
        return shutil.which(name, path=self._path)

    def output(self, name: str, *arguments: str) -> str | None:
        """The output of a command that runs as root; ``None`` if it fails."""
        found = self.which(name)
        if found is None:
            return None
        try:
            return command.run([found, *arguments], root_helper=self.root_helper, timeout=30)
        except (MissingDependency, NodeError):
            return None

    @functools.cached_property
    def acts_as_root(self) -> bool:
        """Whether commands can run as root, directly or through the root helper."""
        return self.is_root or (self.output("id", "-u") or "").strip() == "0"

    def is_listening(self, socket: str) -> bool:
        """Whether a daemon, or systemd for it, listens on an abstract socket.

        This is also true in a container that shares the network of a host with the daemon.
        """
        sockets = self.read("/proc/net/unix") or ""
        return any(line.endswith(f"@{socket}") for line in sockets.splitlines())

    @property
    def name(self) -> str:
        """The host name."""
        return (self.read("/proc/sys/kernel/hostname") or "").strip()

    @functools.cached_property
    def kernel(self) -> str:
        """The release of the running kernel."""
        return (self.read("/proc/sys/kernel/osrelease") or "").strip()

    def module(self, name: str) -> Literal["loaded", "loadable", "missing"]:
        """Whether a kernel feature is loaded, can be loaded, or is missing.

        :param name: of the module, with underscores.
        """
        if self.exists(_SHOWN_BY.get(name, f"/sys/module/{name}")) or name in self._loaded:
            return "loaded"
        return "loadable" if name in self._modules else "missing"

    @property
    def _loaded(self) -> set[str]:
        lines = (self.read("/proc/modules") or "").splitlines()
        filesystems = (self.read("/proc/filesystems") or "").split()
        built_in = self._listed("modules.builtin")
        return {line.partition(" ")[0] for line in lines} | set(filesystems) | built_in

    @functools.cached_property
    def _modules(self) -> set[str]:
        return self._listed("modules.dep")

    def _listed(self, index: str) -> set[str]:
        lines = (self.read(f"/lib/modules/{self.kernel}/{index}") or "").splitlines()
        files = (Path(line.partition(":")[0]).name for line in lines)
        return {file.partition(".ko")[0].replace("-", "_") for file in files}

    @functools.cached_property
    def release(self) -> dict[str, str]:
        """The description of the distribution: ``ID``, ``ID_LIKE``, ``VERSION_ID``, ..."""
        lines = (self.read("/etc/os-release") or "").splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}

    @property
    def has_systemd(self) -> bool:
        """Whether systemd manages the services of the host."""
        return self.file("/run/systemd/system").is_dir()

    def is_enabled(self, unit: str) -> bool:
        """Whether systemd starts a unit with the host."""
        return any(self.file("/etc/systemd/system").glob(f"*.wants/{unit}"))

    @property
    def is_container(self) -> bool:
        """Whether this is a container, which shares the kernel of another host."""
        marks = ("/run/.containerenv", "/.dockerenv", "/run/systemd/container")
        return any(self.exists(mark) for mark in marks)
