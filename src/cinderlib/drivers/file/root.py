"""Checks the option ``file_root`` without Cinder."""

from __future__ import annotations

import os

from cinderlib.value_checks import MAX_PATH, shown


def problem(root: str | None) -> str | None:
    """The error in a value of the option; ``None`` if it is valid."""
    if root and os.path.isabs(root) and len(root) <= MAX_PATH:
        return None
    given = f", not {shown(root)}" if root else ""
    return f"file_root must be the absolute path of a folder{given}"
