"""Evaluates the conditions and expressions of Cinder's code without an SQL database.

Drivers use them to compare and swap:
``volume.conditional_update({'status': 'error', 'previous_status': volume.model.status},
{'status': volume.Not('deleting')})``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from cinderlib.drivers import cinder_sources

if (cinder_sources.folder() / "db" / "utils.py").exists():
    from cinder.db.utils import Case, Condition, Not
else:  # in Cinder 28 they are in the module that ours replaces

    class Condition:  # type: ignore[no-redef]
        """A value that a column must have, or a list of allowed values."""

        def __init__(self, value: Any, field: str | None = None) -> None:
            self.value = value
            self.field = field

    class Not(Condition):  # type: ignore[misc, no-redef]
        """A value that a column must not have."""

        def __init__(self, value: Any, field: str | None = None, auto_none: bool = True) -> None:
            super().__init__(value, field)
            self.auto_none = auto_none

    class Case:  # type: ignore[no-redef]
        """A value that depends on conditions."""

        def __init__(self, whens: Any, value: Any = None, else_: Any = None) -> None:
            self.whens = whens
            self.value = value
            self.else_ = else_


__all__ = ["Case", "Column", "Condition", "Model", "Not", "holds"]

_FUNCTIONS = {"QualityOfServiceSpecs": "qos_specs", "ConsistencyGroup": "consistencygroup"}


@dataclasses.dataclass(frozen=True)
class Column:
    """Refers to the current value of a column where a value is expected."""

    name: str


class Model:
    """Represents a table of Cinder's database."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        self.function_prefix = _FUNCTIONS.get(name, snake)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("__"):
            raise AttributeError(name)
        return Column(name)


def holds(value: Any, wanted: Any) -> bool:
    """Whether a column's value matches a value, one of several values, or a :class:`Not`."""
    if isinstance(wanted, Not):
        return not holds(value, wanted.value)
    if isinstance(wanted, Condition):
        return holds(value, wanted.value)
    if isinstance(wanted, list | tuple | set | frozenset):
        return value in wanted
    return bool(value == wanted)
