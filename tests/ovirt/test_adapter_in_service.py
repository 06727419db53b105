"""oVirt's adapter in a process of the service: it is fast, and has only the rights of the user."""

from __future__ import annotations

import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from service.running import Service

from cinderlib.records import new_id

TESTS = pathlib.Path(__file__).parents[1]
ADAPTER = [sys.executable, "-c", "from cinderlib.launcher import adapter; adapter()"]
COLD = {"CINDERLIB_SERVICE": "none"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


class Engine:
    """Runs the adapter in its own folder.

    :ivar folder: of the user who runs it.
    """

    def __init__(self, service: Service, name: str, driver: str, **driver_options: str) -> None:
        self.folder = service.folder / name
        self.folder.mkdir()
        self.environment = {
            **service.environment,
            "CINDERLIB_STATE_PATH": str(self.folder / "state"),
        }
        self._driver = {
            "volume_backend_name": "array",
            "volume_driver": driver,
            "file_root": str(self.folder / "array"),
            **driver_options,
        }

    def __call__(
        self, verb: str, *extra: str, url: str = "", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        url = url or f"sqlite:///{self.folder}/engine.sqlite"
        environment = {**self.environment, **options.pop("environment", {})}
        return subprocess.run(
            [*ADAPTER, verb, json.dumps(self._driver), url, "cid", *extra],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **options,
        )


def test_the_adapter_imports_few_modules(folder: pathlib.Path) -> None:
    program = (
        "import os, sys, cinderlib.launcher as launcher\n"
        "def ended(code):\n"
        "    heavy = {'json', 'typing', 'socket', 'msgspec', 'cinder'} & set(sys.modules)\n"
        "    print(code, sorted(heavy), file=sys.stderr); sys.stderr.flush(); exit_(code)\n"
        "exit_, os._exit = os._exit, ended\n"
        "launcher.adapter()\n"
    )
    with Service(folder).start() as service:
        done = subprocess.run(
            [
                sys.executable,
                "-S",
                "-c",
                f"import sys; sys.path[:] = {sys.path}\n{program}",
                "verb",
            ],
            env=service.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.startswith("error usage")
    assert done.stderr == "1 []\n"


@as_root
def test_a_verb_has_the_rights_of_its_user(folder: pathlib.Path) -> None:
    with Service(folder, service='mode = "0666"\nrole = "read"').start() as service:
        engine = Engine(service, "engine", "file")
        os.chown(engine.folder, 65534, 65534)
        nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
        made = engine("create_volume", new_id(), "1", **nobody)
        assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
        # The array and the store belong to the user; the service's role does not matter.
        assert {path.stat().st_uid for path in engine.folder.rglob("*")} == {65534}
        private = folder / "private"
        private.mkdir(mode=0o700)
        url = f"sqlite:///{private}/store.sqlite"
        warm = engine("storage_stats", "false", url=url, **nobody)
        cold = engine("storage_stats", "false", url=url, environment=COLD, **nobody)
        assert warm.returncode == cold.returncode == 1
        assert warm.stdout == cold.stdout
        assert not list(private.iterdir())


@as_root
def test_a_driver_finds_no_secrets_of_others(folder: pathlib.Path) -> None:
    """Its process was forked by one that serves all users."""
    of_service, of_environment, of_other, own = (f"marker{secrets.token_hex(16)}" for _ in range(4))
    backends = (
        '[backends.files]\nvolume_driver = "file"\n'
        f'file_root = "{folder}/volumes"\nchap_password = "{of_service}"\n'
    )
    service = Service(folder, backends=backends)
    service.environment["CINDERLIB_KEYS_OF_THE_SERVICE"] = of_environment
    with service.start():
        del service.environment["CINDERLIB_KEYS_OF_THE_SERVICE"]
        other = Engine(service, "other", "file", chap_password=of_other)
        curious = Engine(service, "curious", "ovirt.curious_array.CuriousArray", chap_password=own)
        for engine in (other, other, curious):
            done = engine("create_volume", new_id(), "1")
            assert done.returncode == 0, done.stdout
        log = service.log.read_text()
    found = (curious.folder / "array/found").read_text().split()
    assert found == [own]
    assert "marker" not in log
