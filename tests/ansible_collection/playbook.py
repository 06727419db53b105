"""Where the collection is, and what is played with it."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

HERE = pathlib.Path(__file__).parent
COLLECTION = HERE.parents[1] / "contrib" / "ansible"
PROGRAMS = pathlib.Path(sys.executable).parent

Result = dict[str, Any]
#: Runs tasks as a playbook on this host, and gives what each gave. A task is the module's name in
#: the collection and its options.
Play = Callable[..., list[Result]]
