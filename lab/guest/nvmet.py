"""The module ``nvmet`` that Cinder's target ``nvmet`` imports, over the kernel's configfs. No
package registry has the original. Only what Cinder uses is here."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path("/sys/kernel/config/nvmet")
#: Cinder imports the exception as ``nvmet.nvme.CFSNotFound``.
nvme = sys.modules[__name__]


class CFSNotFound(Exception):
    """An object does not exist in configfs."""


class _Object:
    """A folder in configfs.

    :param mode: ``'lookup'`` requires that it exists, ``'any'`` creates it if it is missing.
    """

    def __init__(self, folder, mode):
        self.path = str(folder)
        if mode == "lookup" and not folder.is_dir():
            raise CFSNotFound(f"{folder} does not exist")
        folder.mkdir(exist_ok=True)

    def get_attr(self, group, name):
        return Path(self.path, f"{group}_{name}").read_text().strip()

    def set_attr(self, group, name, value):
        Path(self.path, f"{group}_{name}").write_text(str(value))

    def _set_enabled(self, value):
        Path(self.path, "enable").write_text(str(value))

    def delete(self):
        os.rmdir(self.path)


class Root(_Object):
    def __init__(self):
        subprocess.run(["modprobe", "nvmet"], check=True)
        super().__init__(_ROOT, "lookup")

    @property
    def subsystems(self):
        return (Subsystem(name, "lookup") for name in os.listdir(_ROOT / "subsystems"))


class Subsystem(_Object):
    def __init__(self, nqn=None, mode="any"):
        self.nqn = nqn
        super().__init__(_ROOT / "subsystems" / nqn, mode)

    @classmethod
    def setup(cls, values, err_func):
        subsystem = cls(values["nqn"])
        for name, value in values["attr"].items():
            subsystem.set_attr("attr", name, value)
        for namespace in values["namespaces"]:
            Namespace.setup(subsystem, namespace, err_func)

    @property
    def namespaces(self):
        numbers = os.listdir(Path(self.path, "namespaces"))
        return (Namespace(self, number, "lookup") for number in numbers)

    def delete(self):
        for namespace in self.namespaces:
            namespace.delete()
        super().delete()


class Namespace(_Object):
    MAX_NSID = 8192

    def __init__(self, subsystem, nsid=None, mode="any"):
        self.subsystem = subsystem
        self.nsid = int(nsid)
        super().__init__(Path(subsystem.path, "namespaces", str(nsid)), mode)

    @classmethod
    def setup(cls, subsystem, values, err_func):
        namespace = cls(subsystem, values["nsid"])
        for name, value in values["device"].items():
            namespace.set_attr("device", name, value)
        namespace._set_enabled(values["enable"])


class Port(_Object):
    def __init__(self, portid, mode="any"):
        self.portid = int(portid)
        super().__init__(_ROOT / "ports" / str(portid), mode)

    @classmethod
    def setup(cls, values, err_func):
        port = cls(values["portid"])
        for name, value in values["addr"].items():
            port.set_attr("addr", name, value)
        for nqn in values["subsystems"]:
            port.add_subsystem(nqn)

    @property
    def subsystems(self):
        return os.listdir(Path(self.path, "subsystems"))

    def add_subsystem(self, nqn):
        os.symlink(_ROOT / "subsystems" / nqn, Path(self.path, "subsystems", nqn))

    def remove_subsystem(self, nqn):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(Path(self.path, "subsystems", nqn))


class Host(_Object):
    pass


class Referral(_Object):
    pass


class ANAGroup(_Object):
    pass
