"""Which database functions can Cinder's code ask for, and which of them are not answered?

``python -m cinderlib.drivers.seam_check`` prints them for the installed Cinder and exits with 1
when one is missing that :data:`NOT_ANSWERED` does not explain. Cinder is read, not imported.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from cinderlib.drivers import bootstrap, names

#: Where the code is that runs with a driver.
_READ = (
    "volume/drivers/**/*.py",
    "volume/targets/*.py",
    "volume/driver.py",
    "volume/driver_utils.py",
    "volume/volume_utils.py",
    "volume/volume_types.py",
    "volume/qos_specs.py",
    "volume/group_types.py",
    "objects/*.py",
    "image/image_utils.py",
    "db/base.py",
    "utils.py",
    "zonemanager/**/*.py",
)
_NAMES = {"db", "_db", "db_api"}

#: Patterns of functions that are not answered -> why no driver gets there.
NOT_ANSWERED = {
    "backup_*": "backups are a service of their own, which drivers do not call",
    "cgsnapshot_*": "consistency groups became generic groups; no driver makes one",
    "cluster_*": "clusters of volume services: there is no service",
    "consistencygroup_*": "consistency groups became generic groups; no driver makes one",
    "get_all_projects_with_default_type": "asked when a volume type is deleted; types are volumes'",
    "get_snapshot_summary": "asked by the REST API",
    "get_volume_summary": "asked by the REST API",
    "group_*": "groups are not kept yet; drivers get them as arguments",
    "qos_specs_*": "QoS specs are part of a volume's record and changed there",
    "service_*": "there is no service to create, update or delete",
    "snapshot_data_get_for_project": "asked by quotas",
    "snapshot_get_all_active_by_window": "asked by usage audits",
    "snapshot_get_all_by_project": "asked by the REST API",
    "attachment_destroy": "attachments are made and removed above the driver",
    "attachment_specs_delete": "old attachments' connectors; ours have none",
    "volume_attach": "attachments are made and removed above the driver",
    "volume_attached": "attachments are made and removed above the driver",
    "volume_detached": "attachments are made and removed above the driver",
    "volume_attachment_get_all_by_project": "asked by the REST API",
    "volume_get_all_active_by_window": "asked by usage audits",
    "volume_get_all_by_project": "asked by the REST API",
    "volume_glance_metadata_*": "written when images are transferred, above the driver",
    "volume_include_in_cluster": "clusters of volume services: there is no service",
    "volume_type_*": "types are part of a volume's record and changed there",
    "worker_*": "the clean-up of crashed services; cinderlib has intents for that",
}


@functools.cache
def asked() -> dict[str, set[str]]:
    """Function of the database -> the files of Cinder that ask for it."""
    root = names.cinder_folder()
    found: dict[str, set[str]] = {}
    for pattern in _READ:
        for path in root.glob(pattern):
            for name in _asked_in(path):
                found.setdefault(name, set()).add(str(path.relative_to(root)))
    return found


def _asked_in(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    if "db" not in source:
        return
    tree = ast.parse(source)
    if not _imports_database(tree) and "self.db" not in source and "_db" not in source:
        return
    annotations = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        for part in ast.walk(node.annotation)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in annotations:
            continue
        owner = node.value
        name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", None)
        if name in _NAMES and (isinstance(owner, ast.Name) or _is_self(owner)):
            yield node.attr


def _is_self(owner: ast.AST) -> bool:
    holder = owner.value if isinstance(owner, ast.Attribute) else None
    return isinstance(holder, ast.Name) and holder.id == "self"


def _imports_database(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module in ("cinder.db", "cinder")
            and any(alias.name in ("api", "db") for alias in node.names)
        ):
            return True
    return False


def answered() -> set[str]:
    """The functions that are answered."""
    bootstrap.import_eventlet()
    from cinderlib.drivers.database import Database

    own = {name for name in dir(Database) if not name.startswith("_")}
    return own | {"Condition", "Not", "Case"}


def missing() -> dict[str, set[str]]:
    """Functions without an answer or an explanation -> the files that call them."""
    have = answered()
    return {
        name: files
        for name, files in asked().items()
        if name not in have and not any(fnmatch.fnmatch(name, each) for each in NOT_ANSWERED)
    }


def main() -> int:
    """Print all functions and their fate; the exit status."""
    have, lacking = answered(), missing()
    for name, files in sorted(asked().items()):
        if name in have:
            fate = "answered"
        elif name in lacking:
            fate = f"MISSING, asked by {', '.join(sorted(files))}"
        else:
            why = next(why for each, why in NOT_ANSWERED.items() if fnmatch.fnmatch(name, each))
            fate = f"not answered: {why}"
        print(f"{name:50} {fate}")
    print(f"{len(lacking)} missing")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
