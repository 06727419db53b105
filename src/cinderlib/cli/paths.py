"""Resolves relative paths in a configuration file from its folder, so that they do not depend on
the current folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cinderlib import urls

#: Ends of the names of options whose value is a path on this host; Cinder does not mark them.
_ENDINGS = (
    "path", "file", "cafile", "certfile", "keyfile", "dir", "root", "conf", "config",
    "mount_point_base", "private_key", "client_cert", "client_cert_key", "folder", "keyring",
)  # fmt: skip
_NAMED = frozenset({"datacore_iscsi_chap_storage"})
#: Options with such a name whose value is a name on the array, or the name of a command.
_OTHERS = frozenset({
    "nas_share_path", "nexenta_folder", "dell_sc_server_folder", "dell_sc_volume_folder",
    "vmware_volume_folder", "java_path",
})  # fmt: skip
_PATH = re.compile(rf"(?:.*_)?(?:{'|'.join(_ENDINGS)})")


def is_path(option: str) -> bool:
    """Whether the value of an option is the path of a file or folder on this host."""
    named = option in _NAMED or _PATH.fullmatch(option) is not None
    return named and option not in _OTHERS


def resolve(option: str, value: Any, folder: Path) -> Any:
    """The value of an option, with a relative path converted to an absolute one.

    :param option: name of the option.
    :param folder: folder of the configuration file.
    """
    if not isinstance(value, str):
        return value
    if option == "connection":
        return urls.absolute(value, folder)
    # The driver refuses an empty value, and a $ begins a reference to an option.
    if not value or value.startswith(("/", "$", "~")) or "://" in value or not is_path(option):
        return value
    return os.path.normpath(folder / value)
