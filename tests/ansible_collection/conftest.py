"""Runs Ansible with the collection installed by ``ansible-galaxy``."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from ansible_collection.playbook import COLLECTION, HERE, PROGRAMS, Play, Result
from cli.command import Command

pytest.importorskip("ansible", reason="needs ansible-core: pip install ansible-core")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables for Ansible, after the collection is built and installed."""
    folder = tmp_path_factory.mktemp("ansible")
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_INJECT_INVOCATION": "true",  # the default before version 2.21
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_STDOUT_CALLBACK": "results",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(HERE.parent),  # drivers of the tests
    }
    galaxy = [PROGRAMS / "ansible-galaxy", "collection"]
    build = ["build", COLLECTION, "--output-path", folder]
    subprocess.run([*galaxy, *build], env=environment, check=True, capture_output=True)
    (package,) = folder.glob("*.tar.gz")
    install = ["install", package, "--collections-path", folder, "--offline"]
    subprocess.run([*galaxy, *install], env=environment, check=True, capture_output=True)
    return environment


@pytest.fixture
def play(cinderlib: Command, environment: dict[str, str]) -> Play:
    def play(*tasks: tuple[str, Result], options: tuple[str, ...] = ()) -> list[Result]:
        results = cinderlib.folder / "results"
        results.write_text("")
        playbook = cinderlib.folder / "playbook.json"
        plays = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "tasks": [
                    {f"cinderlib.storage.{module}": given, "ignore_errors": True, **_kept(number)}
                    for number, (module, given) in enumerate(tasks)
                ],
            }
        ]
        playbook.write_text(json.dumps(plays))
        done = subprocess.run(
            [PROGRAMS / "ansible-playbook", playbook, *options],
            env={**environment, **cinderlib.environment, "RESULTS": str(results)},
            capture_output=True,
            text=True,
            check=False,
        )
        found = [json.loads(line) for line in results.read_text().splitlines()]
        assert len(found) == len(tasks), done.stdout + done.stderr
        return found

    return play


def _kept(number: int) -> Result:
    return {"name": f"task {number}", "register": f"result{number}"}


@pytest.fixture
def cinderlib(tmp_path: pathlib.Path) -> Command:
    return Command(tmp_path)
