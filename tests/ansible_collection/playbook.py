"""The folder of the collection, and types for tests with playbooks."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

HERE = pathlib.Path(__file__).parent
COLLECTION = HERE.parents[1] / "contrib" / "ansible"
PROGRAMS = pathlib.Path(sys.executable).parent

Result = dict[str, Any]
#: Runs tasks as a playbook on this host and returns their results. A task is the name of a module
#: in the collection and its options.
Play = Callable[..., list[Result]]
