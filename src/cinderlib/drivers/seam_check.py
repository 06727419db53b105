"""Compares the database functions that Cinder's code calls with those that cinderlib implements.

``python -m cinderlib.drivers.seam_check`` prints them for the installed Cinder and exits with 1 if
a function is missing that :data:`NOT_IMPLEMENTED` does not list. It reads Cinder's source and does
not import it.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from cinderlib.drivers import bootstrap, cinder_sources

#: The files of Cinder whose code runs with a driver.
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

#: Patterns of functions that are not implemented -> the reason why drivers do not need them.
NOT_IMPLEMENTED = {
    "backup_*": "only the backup service calls them",
    "cgsnapshot_*": "generic groups have replaced consistency groups",
    "cluster_*": "clusters of volume services, which do not exist here",
    "consistencygroup_*": "generic groups have replaced consistency groups",
    "get_all_projects_with_default_type": "only the deletion of a volume type calls it",
    "get_snapshot_summary": "only the REST API calls it",
    "get_volume_summary": "only the REST API calls it",
    "group_*": "cinderlib.operations creates and changes groups; drivers receive them as arguments",
    "qos_specs_*": "QoS specs are part of a volume's record and changed there",
    "service_*": "volume services do not exist here",
    "snapshot_data_get_for_project": "only quotas call it",
    "snapshot_get_all_active_by_window": "only usage audits call it",
    "snapshot_get_all_by_project": "only the REST API calls it",
    "attachment_destroy": "cinderlib.operations creates and deletes attachments",
    "attachment_specs_delete": "specs of old attachments, which do not exist here",
    "volume_attach": "cinderlib.operations creates and deletes attachments",
    "volume_attached": "cinderlib.operations creates and deletes attachments",
    "volume_detached": "cinderlib.operations creates and deletes attachments",
    "volume_attachment_get_all_by_project": "only the REST API calls it",
    "volume_get_all_active_by_window": "only usage audits call it",
    "volume_get_all_by_project": "only the REST API calls it",
    "volume_glance_metadata_*": "only transfers of images call them, not drivers",
    "volume_include_in_cluster": "clusters of volume services, which do not exist here",
    "volume_type_*": "types are part of a volume's record and changed there",
    "worker_*": "clean-up of crashed services; cinderlib uses intents instead",
}


@functools.cache
def called() -> dict[str, set[str]]:
    """Database function -> the files of Cinder that call it."""
    root = cinder_sources.folder()
    found: dict[str, set[str]] = {}
    for pattern in _READ:
        for path in root.glob(pattern):
            for name in _called_in(path):
                found.setdefault(name, set()).add(str(path.relative_to(root)))
    return found


def _called_in(path: Path) -> Iterator[str]:
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


def implemented() -> set[str]:
    """The database functions that cinderlib implements."""
    bootstrap.import_eventlet()
    from cinderlib.drivers.database import Database

    own = {name for name in dir(Database) if not name.startswith("_")}
    return own | {"Condition", "Not", "Case"}


def missing() -> dict[str, set[str]]:
    """Functions that are neither implemented nor explained -> the files that call them."""
    present = implemented()
    return {
        name: files
        for name, files in called().items()
        if name not in present and not any(fnmatch.fnmatch(name, each) for each in NOT_IMPLEMENTED)
    }


def main() -> int:
    """Print all functions and their state.

    :returns: the exit status.
    """
    present, lacking = implemented(), missing()
    for name, files in sorted(called().items()):
        if name in present:
            state = "implemented"
        elif name in lacking:
            state = f"MISSING, called by {', '.join(sorted(files))}"
        else:
            why = next(why for each, why in NOT_IMPLEMENTED.items() if fnmatch.fnmatch(name, each))
            state = f"not implemented: {why}"
        print(f"{name:50} {state}")
    print(f"{len(lacking)} missing")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
