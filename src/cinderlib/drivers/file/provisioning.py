"""Thin and thick provisioning of files: the extra spec ``provisioning:type``.

The blocks of a thick file are allocated, so its data always fits. Ranges without data read as
zeros.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cinder.volume import volume_types

from cinderlib.drivers.file import extents, sparse
from cinderlib.node import holes

#: The extra spec, which Cinder's scheduler knows too.
SPEC = "provisioning:type"


def is_thick(extra_specs: Mapping[str, str]) -> bool:
    """Whether a volume with these extra specs is thick.

    :raises NotImplementedError: the extra spec has an unknown value.
    """
    wanted = extra_specs.get(SPEC, "thin")
    if wanted not in ("thin", "thick"):
        raise NotImplementedError(
            f"the extra spec {SPEC} must be 'thin' or 'thick', not {wanted!r}"
        )
    return wanted == "thick"


def is_thick_volume(volume: Any) -> bool:
    """Whether a volume of Cinder's class is thick.

    :raises NotImplementedError: the extra spec of the type has an unknown value.
    """
    id = volume.volume_type_id
    return is_thick({} if id is None else volume_types.get_volume_type_extra_specs(id))


def allocate(path: Path) -> None:
    """Allocate all blocks of a file. Its content does not change, and other programs can write to
    it at the same time.

    :raises OSError: ``ENOSPC`` if the filesystem is full, ``EOPNOTSUPP`` if it cannot do this.
    """
    with sparse.opened(path, writable=True) as fd:
        holes.allocate(fd, os.fstat(fd).st_size)
        os.fsync(fd)


def release(path: Path) -> None:
    """Free the blocks of a file that have no data. No other program may write to it."""
    with sparse.opened(path, writable=True) as fd:
        start, size = 0, os.fstat(fd).st_size
        for each in extents.data(fd, 0, size):
            holes.punch(fd, start, each.start - start)
            start = each.end
        holes.punch(fd, start, size - start)
        os.fsync(fd)
