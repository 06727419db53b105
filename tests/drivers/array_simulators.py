"""Arrays that Cinder's own unit tests simulate, as drivers that a backend can load.

Cinder's wheel contains its tests. The classes that simulate an array are imported from them without
the test cases, whose packages are not installed here. No code is copied. A simulator supports
one thread, so it answers one command at a time.
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
from collections.abc import Callable
from typing import Any

import cinder
from cinder.volume.drivers import lightos, storpool
from cinder.volume.drivers.ibm.storwize_svc import replication as storwize_replication
from cinder.volume.drivers.inspur.instorage import replication as instorage_replication
from cinder.volume.drivers.zadara import common as zadara_common
from cinder.volume.drivers.zadara import zadara
from os_brick.initiator import storpool_utils
from oslo_concurrency import processutils

_TESTS = pathlib.Path(cinder.__file__).parent / "tests/unit/volume/drivers"
_TEST_PACKAGES = ("cinder.tests", "cinder.db", "ddt", "os_brick.tests")


class _Constants:
    """Stands for the constants of Cinder's tests."""

    def __getattr__(self, name: str) -> str:
        return "11111111-2222-4333-8444-555555555555"


def _simulators(path: str, *inner: str) -> Any:
    """A module with everything in a file of Cinder's tests except the test cases.

    :param inner: functions that a test case defines within a method, and that the module has too.
    """
    tree = ast.parse((_TESTS / path).read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    tree.body = [each for each in tree.body if not _is_for_tests(each)]
    tree.body += [each for each in functions if each.name in inner]
    module = types.ModuleType(f"simulated_{pathlib.Path(path).stem}")
    module.__dict__.update(fake=_Constants(), fake_constants=_Constants())
    sys.modules[module.__name__] = module
    exec(compile(tree, path, "exec"), module.__dict__)
    return module


def _is_for_tests(node: ast.stmt) -> bool:
    match node:
        case ast.ImportFrom(module=str(name)):
            return name.startswith(_TEST_PACKAGES)
        case ast.Import():
            return any(alias.name.startswith(_TEST_PACKAGES) for alias in node.names)
        case ast.ClassDef():
            bases = " ".join(ast.unparse(base) for base in node.bases)
            return "test." in bases or "Test" in bases or node.name.endswith("TestCase")
    return False


class Array:
    """A simulated array.

    :ivar refused: the command that it refuses, if any.
    """

    #: Of all arrays: a simulator that is a module of Cinder's has one state.
    lock = threading.RLock()

    def __init__(self, simulator: Any = None) -> None:
        self.simulator = simulator
        self.refused: str | None = None

    def ask(self, command: str, refusal: Exception, answer: Callable[[], Any]) -> Any:
        """The answer to a command.

        :raises refusal: if the array refuses this command.
        """
        with self.lock:
            if command == self.refused:
                raise refusal
            return answer()


class SSHArray(Array):
    """An array that drivers give commands to through SSH."""

    def execute_command(self, command: list[str], check_exit_code: bool = True) -> Any:
        refusal = processutils.ProcessExecutionError(
            exit_code=1, stdout="", stderr="the object is in use", cmd=" ".join(command)
        )
        return self.ask(
            command[1],
            refusal,
            lambda: self.simulator.execute_command(command, check_exit_code),
        )


_storwize = _simulators("ibm/test_storwize_svc.py")
_instorage = _simulators("inspur/instorage/fakes.py")
_acs5000 = _simulators("toyou/test_acs5000.py")
_lightos = _simulators("lightos/test_lightos_storage.py", "send_cmd_default_mock")
_storpool = _simulators("test_storpool.py")
_zadara = _simulators("test_zadara.py")

#: The arrays that drivers use, by name; new ones with :func:`reset`.
ARRAYS: dict[str, Any] = {}


def reset() -> None:
    """Replace all arrays by empty ones."""
    ARRAYS.update(
        storwize=SSHArray(_storwize.StorwizeSVCManagementSimulator(["openstack", "openstack1"])),
        instorage=SSHArray(_instorage.FakeInStorage(["openstack", "openstack1"])),
        acs5000=SSHArray(_acs5000.CommandSimulator(["pool01", "pool02"])),
        lightos=Array(_lightos.send_cmd_default_mock),
        storpool=StorPoolArray(_storpool.MockAPI()),
        zadara=Array(),
    )
    # The function belongs to a test case, whose attributes it uses.
    _lightos.self = types.SimpleNamespace(
        assertTrue=bool,
        db=_lightos.DBMock(),
        driver=types.SimpleNamespace(configuration=types.SimpleNamespace(lightos_use_ipacl=True)),
    )
    _storpool.volumes.clear()
    _storpool.snapshots.clear()
    _zadara.RUNTIME_VARS = copy.deepcopy(_zadara.DEFAULT_RUNTIME_VARS)


# --- SSH ------------------------------------------------------------------------------------------


def _on(array: str, fake_driver: Any) -> Any:
    """Cinder's driver for tests, on the array of that name."""

    class Driver(fake_driver):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_fake_storage(ARRAYS[array])

    return Driver


def _replicated(fake_driver: Any, manager: Any) -> Any:
    """A driver whose replicas are on the same simulator, which stands for the second array too.

    :param manager: the class of Cinder's driver that gives commands to the second array.
    """

    class Driver(fake_driver):  # type: ignore[misc]
        def do_setup(self, context: Any) -> None:
            def run(of: Any, cmd: list[str], check_exit_code: bool = True, **_: Any) -> Any:
                if cmd[1] == "lssystem":
                    cmd[1] = "lssystem_aux"
                return self.fake_storage.execute_command(cmd, check_exit_code)

            manager._run_ssh = run
            super().do_setup(context)

    return Driver


StorwizeISCSI = _on("storwize", _storwize.StorwizeSVCISCSIFakeDriver)
StorwizeFC = _on("storwize", _storwize.StorwizeSVCFcFakeDriver)
InStorageISCSI = _on("instorage", _instorage.FakeInStorageMCSISCSIDriver)
InStorageFC = _on("instorage", _instorage.FakeInStorageMCSFcDriver)
ACS5000ISCSI = _on("acs5000", _acs5000.Acs5000ISCSIFakeDriver)
ReplicatedStorwize = _replicated(StorwizeISCSI, storwize_replication.StorwizeSVCReplicationManager)
ReplicatedInStorage = _replicated(
    InStorageISCSI, instorage_replication.InStorageMCSReplicationManager
)
ACS5000FC = _on("acs5000", _acs5000.Acs5000FCFakeDriver)


# --- LightOS --------------------------------------------------------------------------------------


class LightOS(lightos.LightOSVolumeDriver):  # type: ignore[misc]
    """Its simulator replaces the client of the cluster."""

    def __init__(self, *args: Any, configuration: Any, **kwargs: Any) -> None:
        factory = _lightos.InitiatorConnectorFactoryMocker
        configuration.initiator_connector = f"{factory.__module__}.{factory.__qualname__}"
        super().__init__(*args, configuration=configuration, **kwargs)
        self.logical_op_timeout = 2  # seconds, in which a refused command is repeated
        self.cluster.send_cmd = self._send

    def _send(self, cmd: str, timeout: float, **arguments: Any) -> Any:
        array = ARRAYS["lightos"]
        with array.lock:
            if cmd == array.refused:
                return 409, None
            return array.simulator(cmd, timeout, **arguments)


# --- StorPool -------------------------------------------------------------------------------------


class StorPoolArray(Array):
    """An array that a driver calls through a client with a method for each command."""

    def __getattr__(self, command: str) -> Any:
        refusal = storpool_utils.StorPoolAPIError(409, {"error": {"name": "busy"}})
        method = getattr(self.simulator, command)
        return lambda *arguments: self.ask(command, refusal, lambda: method(*arguments))


class StorPool(storpool.StorPoolDriver):  # type: ignore[misc]
    """Its simulator replaces the client; the host has no configuration for it."""

    def check_for_setup_error(self) -> None:
        storpool_utils.get_conf = lambda section=None: {
            "SP_API_HTTP_HOST": "192.0.2.9",
            "SP_API_HTTP_PORT": "81",
            "SP_AUTH_TOKEN": "0123456789",
        }
        storpool_utils.StorPoolAPI = lambda *arguments: ARRAYS["storpool"]
        super().check_for_setup_error()


# --- Zadara ---------------------------------------------------------------------------------------


class Zadara(zadara.ZadaraVPSAISCSIDriver):  # type: ignore[misc]
    """Its simulator replaces HTTP."""

    def do_setup(self, context: Any) -> None:
        zadara_common.requests = types.SimpleNamespace(
            Session=_ZadaraSession, exceptions=zadara_common.requests.exceptions
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
        array = ARRAYS["zadara"]
        with array.lock:
            if method == array.refused:
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


reset()
