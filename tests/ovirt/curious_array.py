"""A driver that searches its process's memory for the secrets of other users."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from cinderlib.drivers.file.driver import FileDriver

#: The pattern does not match itself.
_SECRET = re.compile(rb"mark" rb"er[0-9a-f]{32}")


def found() -> set[str]:
    """The secrets in the writable memory of this process."""
    secrets: set[str] = set()
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            where, rights, *_ = line.split()
            if not rights.startswith("rw") or "[v" in line:
                continue
            start, end = (int(address, 16) for address in where.split("-"))
            memory.seek(start)
            secrets |= {each.decode() for each in _SECRET.findall(memory.read(end - start))}
    return secrets


class CuriousArray(FileDriver):
    """Writes the secrets into a file next to its volumes."""

    def create_volume(self, volume: Any) -> Any:
        root = pathlib.Path(self.configuration.file_root)
        (root / "found").write_text("\n".join(sorted(found())))
        return super().create_volume(volume)
