"""The paths at which clients may have links to attached devices."""

from __future__ import annotations

import re
from pathlib import Path

from cinderlib import errors
from cinderlib.value_checks import shown

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")


def check(path: str, folder: Path) -> str:
    """The path of a link.

    :param folder: in which clients may have links.
    :raises InvalidInput: a client must not have a link with that path.
    """
    parts = path.removeprefix(f"{folder}/").split("/")
    if not path.startswith(f"{folder}/") or not all(map(_NAME.fullmatch, parts)):
        raise errors.InvalidInput(
            f"The link {shown(path)} must be in the folder {folder}, with letters, digits"
            " and '_.@-' in its names"
        )
    return path
