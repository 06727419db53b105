"""The output format of a run of the command."""

from __future__ import annotations

import dataclasses

#: The version of the output contract. docs/output.md describes the changes that increase it.
CONTRACT = 1

#: All formats. ``table`` is the default.
FORMATS = ("table", "wide", "json", "yaml", "csv", "name", "value")
#: The formats of verbs whose result has no columns.
FREE_FORMATS = ("table", "json", "yaml")
#: The formats for programs, in which errors are JSON too.
STRUCTURED = ("json", "yaml")


@dataclasses.dataclass
class Form:
    """The chosen output format.

    :ivar format: one of :data:`FORMATS`; empty if none was chosen.
    :ivar columns: names of the fields to write; empty for those of the format.
    :ivar sort: names of the fields to sort by; ``-`` before a name reverses its order.
    :ivar headers: whether to write a line with the names of the columns.
    :ivar bytes: whether tables have sizes in bytes, without units.
    :ivar nulls: whether JSON and YAML contain fields without a value.
    :ivar limit: maximum number of items; ``None`` for all.
    """

    format: str = ""
    columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    headers: bool = True
    bytes: bool = False
    nulls: bool = False
    limit: int | None = None

    @property
    def structured(self) -> bool:
        """Whether the output is JSON or YAML."""
        return self.format in STRUCTURED

    @property
    def for_people(self) -> bool:
        """Whether the output is a table or text."""
        return self.format in ("", "table", "wide")
