"""Arrays that Cinder's own unit tests simulate, as drivers that a backend can load.

Cinder's wheel contains its tests. The classes that simulate an array are taken out of them at run
time, without the test cases, whose packages are not installed here. Nothing of them is copied. A
simulator is made for one thread, so it answers one command at a time.
"""

from __future__ import annotations

import ast
import copy
import json
import pathlib
import re
import sys
import threading
import types
from typing import Any

import cinder
from cinder.volume.drivers.zadara import zadara

_TESTS = pathlib.Path(cinder.__file__).parent / "tests/unit/volume/drivers"
_LOCK = threading.RLock()


class _Constants:
    """Stands for Cinder's constants of tests."""

    def __getattr__(self, name: str) -> str:
        return "11111111-2222-4333-8444-555555555555"


def _simulators(path: str) -> Any:
    """A module with all of a file of Cinder's tests but its test cases."""
    tree = ast.parse((_TESTS / path).read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _is_for_tests(node)]
    module = types.ModuleType(f"simulators.{pathlib.Path(path).stem}")
    module.__dict__.update(fake=_Constants(), fake_constants=_Constants())
    sys.modules[module.__name__] = module
    exec(compile(tree, path, "exec"), module.__dict__)
    return module


def _is_for_tests(node: ast.stmt) -> bool:
    match node:
        case ast.ImportFrom(module=str(name)):
            return name.startswith(("cinder.tests", "cinder.db", "ddt"))
        case ast.Import():
            return any(alias.name in ("ddt", "cinder.db.api") for alias in node.names)
        case ast.ClassDef():
            bases = " ".join(ast.unparse(base) for base in node.bases)
            return "Test" in bases or node.name.endswith("TestCase")
    return False


class _SSHArray:
    """An array that is told what to do by commands.

    :ivar refused: the command that it refuses, if any.
    """

    def __init__(self, simulator: Any) -> None:
        self.simulator = simulator
        self.refused: str | None = None

    def execute_command(self, command: list[str], check_exit_code: bool = True) -> Any:
        from oslo_concurrency import processutils

        with _LOCK:
            if self.refused == command[1]:
                raise processutils.ProcessExecutionError(
                    exit_code=1, stdout="", stderr="the object is in use", cmd=" ".join(command)
                )
            return self.simulator.execute_command(command, check_exit_code)


_storwize = _simulators("ibm/test_storwize_svc.py")
_instorage = _simulators("inspur/instorage/fakes.py")
_acs5000 = _simulators("toyou/test_acs5000.py")
_zadara = _simulators("test_zadara.py")

#: The array that drivers are loaded on, by vendor; new ones with :func:`reset`.
ARRAYS: dict[str, Any] = {}


def reset() -> None:
    """Replace all arrays by empty ones."""
    ARRAYS.update(
        storwize=_SSHArray(_storwize.StorwizeSVCManagementSimulator(["openstack", "openstack1"])),
        instorage=_SSHArray(_instorage.FakeInStorage(["openstack", "openstack1"])),
        zadara=types.SimpleNamespace(refused=None),
        acs5000=_SSHArray(_acs5000.CommandSimulator(["pool01", "pool02"])),
    )
    _zadara.RUNTIME_VARS = copy.deepcopy(_zadara.DEFAULT_RUNTIME_VARS)


reset()


class StorwizeISCSI(_storwize.StorwizeSVCISCSIFakeDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["storwize"])


class StorwizeFC(_storwize.StorwizeSVCFcFakeDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["storwize"])


class InStorageISCSI(_instorage.FakeInStorageMCSISCSIDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["instorage"])


class InStorageFC(_instorage.FakeInStorageMCSFcDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["instorage"])


class ACS5000ISCSI(_acs5000.Acs5000ISCSIFakeDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["acs5000"])


class ACS5000FC(_acs5000.Acs5000FCFakeDriver):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_fake_storage(ARRAYS["acs5000"])


class Zadara(zadara.ZadaraVPSAISCSIDriver):  # type: ignore[misc]
    """Its simulator stands in the place of HTTP."""

    def do_setup(self, context: Any) -> None:
        from cinder.volume.drivers.zadara import common

        common.requests = types.SimpleNamespace(
            Session=_ZadaraSession, exceptions=common.requests.exceptions
        )
        super().do_setup(context)


class _ZadaraSession:
    def __init__(self, *args: Any) -> None:
        self.headers: dict[str, str] = {}

    def __enter__(self) -> _ZadaraSession:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def mount(self, *args: Any) -> None:
        pass

    def request(self, method: str, url: str, **kwargs: Any) -> Any:
        one = re.search(r"/api/volumes/([^/]+)\.json$", url)
        with _LOCK:
            if method == "DELETE" and ARRAYS["zadara"].refused:
                return _json({"status": 10, "status-msg": "the volume is in use"})
            if method == "GET" and one:
                return self._volume(one[1], url, **kwargs)
            return _zadara.FakeRequests(method, url, **kwargs)

    def _volume(self, name: str, url: str, **kwargs: Any) -> Any:
        """One volume, which the simulator shows in its list alone."""
        everything = url.rpartition("/")[0] + ".json?showonlyblock=YES"
        listed = json.loads(_zadara.FakeRequests("GET", everything, **kwargs).content)
        found = [each for each in listed["response"]["volumes"] if each["name"] == name]
        return _json({"status": 0, "volume": found[0]} if found else {"status": 10002})


def _json(response: dict[str, Any]) -> Any:
    text = json.dumps({"response": response})
    return types.SimpleNamespace(content=text, status_code=200)
