"""Runs the drivers' privileged commands: in this process if it is root, else with a root helper.

Cinder's own method (``sudo cinder-rootwrap /etc/cinder/rootwrap.conf``, ``sudo privsep-helper``)
needs files in /etc and commands in sudo's secure path. This method works in a virtual environment.
"""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import shutil
import sys
import sysconfig
from typing import Any

from oslo_config import cfg

_CONTEXTS = (
    ("cinder.privsep", "sys_admin_pctxt"),
    ("os_brick.privileged", "default"),
    ("os_brick.privileged", "brick_privsep_hide_output"),
)
#: Concurrent privileged calls. Oslo.privsep's default of one per CPU delays the calls of drivers.
_POOL = 16
_DAEMON = "import sys;from oslo_privsep.daemon import helper_main;sys.exit(helper_main())"

_command = "sudo -n"


def root_command(root_helper: str) -> str:
    """The command that runs another command as root; ``sudo`` never asks for a password."""
    return "sudo -n" if root_helper.strip() == "sudo" else root_helper


def replace_helpers() -> None:
    """Replace two functions of ``cinder.utils`` before any other module imports them.

    These are the root helper, and ``execute``, which then also finds the commands that pip
    installed with this Python (``cinder-rtstool``) outside ``PATH`` and sudo's secure path.
    """
    utils: Any = importlib.import_module("cinder.utils")
    utils.get_root_helper = lambda: _command
    if not hasattr(utils.execute, "__wrapped__"):
        utils.execute = _found(utils.execute)


def _found(execute: Any) -> Any:
    scripts = sysconfig.get_path("scripts")

    @functools.wraps(execute)
    def wrapper(*cmd: str, **kwargs: Any) -> Any:
        if cmd and os.sep not in str(cmd[0]) and shutil.which(cmd[0]) is None:
            script = os.path.join(scripts, cmd[0])
            if os.access(script, os.X_OK):
                cmd = (script, *cmd[1:])
        return execute(*cmd, **kwargs)

    return wrapper


def use(root_helper: str) -> None:
    """Run commands, and Cinder's and os-brick's privileged calls, as root with a root helper."""
    global _command
    _command = root_command(root_helper)
    for module, name in _CONTEXTS:
        context = getattr(importlib.import_module(module), name)
        if os.geteuid() == 0:
            context.set_client_mode(False)
            continue
        helper = f"{_command} {sys.executable} -c {shlex.quote(_DAEMON)}"
        cfg.CONF.set_override("helper_command", helper, group=context.cfg_section)
        cfg.CONF.set_override("thread_pool_size", _POOL, group=context.cfg_section)
