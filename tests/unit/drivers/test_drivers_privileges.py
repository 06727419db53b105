"""Commands with root privileges for other users."""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cinderlib import drivers
from cinderlib.drivers import privileges


@pytest.fixture
def helper(tmp_path: Path) -> Path:
    """A root helper that records its commands and runs them as the same user."""
    script = tmp_path / "helper"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexec "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)


def test_commands_go_through_the_root_helper(
    load: Callable[..., Any], settings: drivers.Settings, helper: Path, not_root: None
) -> None:
    from cinder import utils

    load(settings=replace(settings, root_helper=str(helper)))
    out, _ = utils.execute("echo", "as root", run_as_root=True)
    assert out == "as root\n"
    assert (helper.parent / "asked").read_text() == "echo as root\n"


def test_commands_installed_by_pip_need_no_path(
    load: Callable[..., Any],
    settings: drivers.Settings,
    helper: Path,
    not_root: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cinder import utils

    load(settings=replace(settings, root_helper=str(helper)))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    utils.execute("cinder-rtstool", run_as_root=True, check_exit_code=False)
    beside = os.path.join(sysconfig.get_path("scripts"), "cinder-rtstool")
    assert (helper.parent / "asked").read_text().strip() == beside


def test_privileged_calls_run_this_python_with_the_root_helper(
    load: Callable[..., Any], settings: drivers.Settings, not_root: None
) -> None:
    from oslo_config import cfg

    load(settings=replace(settings, root_helper="doas -n"))
    for group in ("privsep_osbrick", "cinder_sys_admin"):
        command = shlex.split(cfg.CONF[group].helper_command)
        assert command[:4] == ["doas", "-n", sys.executable, "-c"]
        compile(command[4], "helper", "exec")
        assert cfg.CONF[group].thread_pool_size > 1


def test_sudo_never_asks_for_a_password() -> None:
    assert privileges.root_command("sudo") == "sudo -n"
    assert privileges.root_command("sudo -E") == "sudo -E"
