"""All volume drivers with their options and their state on this host.

Importing all of them takes seconds and 60 MB, so a child process does it, which runs :func:`main`.
The result is kept for later runs.
"""

from __future__ import annotations

import functools
import inspect
import json
import subprocess
import sys
import tempfile
from typing import Any

from cinderlib.drivers import catalog_cache
from cinderlib.errors import CinderlibError, DriverError

#: Options that this library sets, or that have no effect without Cinder's services.
_NOT_FOR_USERS = {"volume_backend_name", "volume_driver", "backend_native_threads_pool_size"}
#: Attributes of an option that a form for its value needs.
_ATTRIBUTES = (
    "name", "dest", "default", "help", "required", "secret", "sample_default", "advanced",
    "deprecated_for_removal", "deprecated_reason", "deprecated_since", "metavar", "positional",
    "short", "mutable",
)  # fmt: skip
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from cinderlib.drivers import catalog; catalog.main()"
)


def listing(*, options: bool) -> dict[str, dict[str, Any]]:
    """See :func:`cinderlib.drivers.list_supported`."""
    return _catalog().listing(options=options)


@functools.cache
def _catalog() -> catalog_cache.Catalog:
    found = catalog_cache.load()
    if found is None:
        found = catalog_cache.Catalog.of(json.loads(_in_child()))
        catalog_cache.save(found)
    return found


def _in_child() -> str:
    done = subprocess.run(
        [sys.executable, "-c", _START, json.dumps(sys.path)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        error = done.stderr.strip().rpartition("\n")[2]
        raise DriverError(f"cannot list Cinder's drivers: {error}")
    return done.stdout


def main() -> None:
    """Write the listing as JSON to standard output."""
    output = sys.stdout
    sys.stdout = sys.stderr  # drivers can print when they are imported
    with tempfile.TemporaryDirectory() as folder:
        listing = everything(folder)
    json.dump(listing, output)


def everything(folder: str) -> dict[str, dict[str, Any]]:
    """Import and describe all drivers, in this process.

    :param folder: Cinder's state path.
    """
    from cinderlib.drivers import bootstrap, names
    from cinderlib.drivers.port import Settings

    bootstrap.start(Settings(host="localhost", state_path=folder, lock_path=folder))
    listing = {}
    seen: set[str] = set()
    for path in names.classes():
        class_name = path.rpartition(".")[2]
        # Drivers of two products can have the same class name; the second is listed by its path.
        key = path if class_name in seen else class_name
        seen.add(class_name)
        listing[key] = {"name": key, **_describe(path)}
    return listing


def _describe(path: str) -> dict[str, Any]:
    from cinderlib.drivers import families, loading, methods, names, options, requirements

    family = families.of(path)
    entry: dict[str, Any] = {
        "short_name": names.short_name(path),
        "vendor": family.vendor if family else None,
        "product": family.product if family else None,
        "class_name": path.rpartition(".")[2],
        "class_fqn": path,
        "version": None,
        "ci_wiki_name": None,
        "supported": False,
        "desc": None,
        "lacks": None,
        "driver_options": [],
    }
    try:
        driver_class = loading.import_class(path)
    except CinderlibError as error:
        return {**entry, "state": str(error), "missing": [str(error)]}
    missing = requirements.missing(driver_class).words
    opts = options.of_every_driver() | {opt.dest: opt for opt in options.of_driver(driver_class)}
    return {
        **entry,
        "version": str(getattr(driver_class, "VERSION", "N/A")),
        "ci_wiki_name": getattr(driver_class, "CI_WIKI_NAME", None),
        "supported": bool(getattr(driver_class, "SUPPORTED", True)),
        "desc": inspect.getdoc(driver_class),
        "lacks": methods.lacks(driver_class),
        "state": f"needs {', '.join(missing)}" if missing else "loads here",
        "missing": missing,
        "driver_options": [
            _option(opt) for name, opt in sorted(opts.items()) if name not in _NOT_FOR_USERS
        ],
    }


def _option(opt: Any) -> dict[str, Any]:
    described: dict[str, Any] = {name: getattr(opt, name, None) for name in _ATTRIBUTES}
    choices = getattr(opt.type, "choices", None)
    described["choices"] = list(choices) if choices else None
    described["type"] = {
        **{name: value for name, value in vars(opt.type).items() if name[0] != "_"},
        "type_class": type(opt.type).__name__,
        "type_name": getattr(opt.type, "type_name", ""),
        "choices": described["choices"],
    }
    for limit in ("min", "max"):
        described[limit] = getattr(opt.type, limit, None)
    described["deprecated_opts"] = [old.name for old in opt.deprecated_opts if old.name]
    return {name: _plain(value) for name, value in described.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float) else str(value)
