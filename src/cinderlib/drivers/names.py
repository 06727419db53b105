"""Which drivers there are, and what they are called. Found by reading Cinder's files: nothing of
Cinder is imported."""

from __future__ import annotations

import collections
import difflib
import functools
import importlib.util
import re
from pathlib import Path

from cinderlib.errors import ConfigurationError, MissingDependency

#: Drivers that ship with this library: short name -> class.
OWN = {"file": "cinderlib.drivers.file.driver.FileDriver"}

_PACKAGE = "cinder.volume.drivers"
_DECLARED = re.compile(
    r"^@(?:\w+\.)?volumedriver\s*\n(?:@[^\n]*\n)*class[ ]+(\w+)"
    # or a class that makes the driver which its options ask for
    r"|^class[ ]+(\w+)\((?:\w+\.)?ProxyVD\)",
    re.MULTILINE,
)
#: Last parts of module paths that name no product.
_GENERIC = {"driver", "iscsi", "fc", "nfs", "base", "volume", "nvme"}


@functools.cache
def classes() -> tuple[str, ...]:
    """The full paths of all volume driver classes of the installed Cinder, and of our own.

    :raises MissingDependency: Cinder is not installed.
    """
    folder = cinder_folder() / "volume" / "drivers"
    found = set(OWN.values())
    for path in folder.rglob("*.py"):
        module = ".".join((_PACKAGE, *path.relative_to(folder).with_suffix("").parts))
        for match in _DECLARED.finditer(path.read_text(encoding="utf-8")):
            name = match[1] or match[2]
            found.add(f"{module.removesuffix('.__init__')}.{name}")
    return tuple(sorted(found))


def cinder_folder() -> Path:
    """Where Cinder is installed.

    :raises MissingDependency: it is not.
    """
    spec = importlib.util.find_spec("cinder")
    if spec is None or not spec.origin:
        raise MissingDependency("Cinder is not installed, and its drivers are: pip install cinder")
    return Path(spec.origin).parent


@functools.cache
def short_names() -> dict[str, str]:
    """Short name -> full path of the class.

    A driver is known by its class, where no other has the same, and by its module where that holds
    one driver and its name says which: ``lvm``, ``rbd``, ``nfs``, ``solidfire``, ...
    """
    names: dict[str, str] = {}
    by_class = collections.Counter(path.rpartition(".")[2] for path in classes())
    by_module = collections.Counter(path.rpartition(".")[0] for path in classes())
    # Those at the top of Cinder's tree have the first claim on a name.
    for path in sorted(classes(), key=lambda path: (path.count("."), path)):
        module, _, name = path.rpartition(".")
        if by_class[name] == 1:
            names[name] = path
        parts = module.removeprefix(f"{_PACKAGE}.").split(".")
        if by_module[module] == 1:
            short = parts[-1]
            if short in _GENERIC and len(parts) > 1:
                short = parts[-2] if short == "driver" else ""
            if short:
                names.setdefault(short.removesuffix("_driver"), path)
    return {**names, **OWN}


def resolve(name: str) -> str:
    """The full path of the class that a user means.

    :param name: a full path, a class name or a short name.
    :raises ConfigurationError: there is none; the message names the closest.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "option 'volume_driver' must name a driver: its class, or a short name like 'lvm'"
        )
    if "." in name:
        return name
    known = short_names()
    path = known.get(name) or {key.lower(): path for key, path in known.items()}.get(name.lower())
    if path is not None:
        return path
    same = [path for path in classes() if path.rpartition(".")[2] == name]
    if same:
        raise ConfigurationError(f"several drivers are called {name!r}: {', '.join(same)}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(f"there is no volume driver {name!r}{hint}", resource=name)
