"""Records that the tests store."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import Any

from cinderlib import records
from cinderlib.records import (
    AppliedStream,
    Author,
    Owner,
    Record,
    Secret,
    TypeSpecs,
    VolumeRecord,
)

#: IDs and names that a store could confuse with patterns, paths or SQL, or with each other.
HOSTILE = (
    "../../etc/passwd",
    "%",
    "_",
    "a_c",
    "abc",
    "ABC",
    "Abc",
    "abc ",
    " abc",
    "äbc",
    "a\u0308bc",
    "'; DROP TABLE cinderlib_volume; --",
    'quote " and \\ backslash',
    "line\nfeed\ttab",
    "*",
    "?",
    "%s %(id)s :id {id}",
    "\U0001f4be" * 255,
    "x" * 255,
    "x" * 254 + "y",
    "cinderlib",
    "0",
    "null",
)


def volume(id: str = "", **fields: Any) -> VolumeRecord:
    """A new volume with these fields, and default values for the others."""
    fields = {"backend": "b1", "size": 1, "host": "h@b1#p", **fields}
    return VolumeRecord(id=id or records.new_id(), **fields)


def connectors() -> Iterator[dict[str, Any]]:
    """Connectors of two hosts, with different sets of properties."""
    properties = {
        "system uuid": ("uuid-1", "uuid-2"),
        "initiator": ("iqn.one", "iqn.two"),
        "wwpns": (["5001"], ["5001", "5002"]),
        "host": ("one", "\u2603"),
    }
    for size in range(3):
        for names in itertools.combinations(properties, size):
            for values in itertools.product(*[properties[name] for name in names]):
                yield dict(zip(names, values, strict=True))


def every_kind() -> list[Record]:
    """One record of each kind, with values in all fields, including secrets and unusual text."""
    time = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=datetime.UTC)
    text = "żółć \U0001f4be \u202e \"quoted\" 'single' %s \\ \u0000 \x7f"
    found: list[Record] = []
    for kind in records.KINDS.values():
        values: dict[str, Any] = {}
        for name, type_ in kind.__annotations__.items():
            if "ClassVar" in type_ or name in kind.indexed:
                continue
            if "Secret" in type_:
                values[name] = Secret({"password": text, "nested": [1, None, {"a": True}]})
            elif "Owner" in type_:
                values[name] = Owner(host=text, boot_id="b", pid=1, start_time=2**40)
            elif "Author" in type_:
                values[name] = Author(user=text, host=text, pid=1, program=text)
            elif "AppliedStream" in type_:
                values[name] = AppliedStream(
                    point=text, since=text, complete=True, resumable=False, applied_by=text,
                    opened_by=text,
                )  # fmt: skip
            elif "TypeSpecs" in type_:
                specs = {"key": text}
                values[name] = TypeSpecs(
                    id=text, name=text, description=text, extra_specs=specs, qos_specs=specs
                )
            elif "datetime" in type_:
                values[name] = time
            elif "dict" in type_:
                values[name] = {"key": text, "": "empty"}
            elif "bool" in type_:
                values[name] = True
            elif "int" in type_:
                values[name] = 2**31
            elif "float" in type_:
                values[name] = 0.25
            else:
                values[name] = text
        values |= {field: f"{field} {kind.kind}" for field in kind.indexed}
        found.append(kind(id=records.new_id(), created_at=time, updated_at=time, **values))
    return found
