"""Lists the available drivers and their names. It reads Cinder's source files and does not import
Cinder."""

from __future__ import annotations

import collections
import difflib
import functools
import re

from cinderlib.drivers import cinder_sources, families
from cinderlib.errors import ConfigurationError
from cinderlib.value_checks import shown

#: Drivers that ship with this library.
OWN = ("cinderlib.drivers.file.driver.FileDriver",)

_PACKAGE = "cinder.volume.drivers"
_DECLARED = re.compile(
    r"^@(?:\w+\.)?volumedriver\s*\n(?:@[^\n]*\n)*class[ ]+(\w+)"
    # or a class that creates the driver that its options choose
    r"|^class[ ]+(\w+)\((?:\w+\.)?ProxyVD\)",
    re.MULTILINE,
)
#: Classes that Cinder registers as drivers, but that are only base classes.
_BASES = frozenset({"DataCoreVolumeDriver", "PowerFlexBaseDriver"})
#: Drivers that a message lists by name, at most.
_LISTED = 8


@functools.cache
def classes() -> tuple[str, ...]:
    """The full paths of all volume driver classes of the installed Cinder and of this library.

    :raises MissingDependency: Cinder is not installed.
    """
    folder = cinder_sources.folder() / "volume" / "drivers"
    found = set(OWN)
    for path in folder.rglob("*.py"):
        module = ".".join((_PACKAGE, *path.relative_to(folder).with_suffix("").parts))
        for match in _DECLARED.finditer(path.read_text(encoding="utf-8")):
            name = match[1] or match[2]
            found.add(f"{module.removesuffix('.__init__')}.{name}")
    return tuple(sorted(found))


@functools.cache
def short_names() -> dict[str, str]:
    """Short name -> full path of the class.

    In addition to the names from :func:`short_name`, the name of each class that is unique.
    """
    by_class = collections.Counter(path.rpartition(".")[2] for path in classes())
    own = {path.rpartition(".")[2]: path for path in classes()}
    names = {name: path for name, path in own.items() if by_class[name] == 1}
    return names | {name: path for path in classes() if (name := short_name(path))}


@functools.cache
def short_name(path: str) -> str | None:
    """The short name of the class with this full path; None if it does not belong to a family.

    The only driver of a family has the family's name, for example ``lvm``. Other drivers add their
    protocol: ``powermax_fc``.
    """
    family = families.of(path)
    if family is None or path.rpartition(".")[2] in _BASES:
        return None
    protocol = families.protocol(path)
    several = sum(families.of(each) is family for each in classes()) > 1
    return f"{family.name}_{protocol}" if protocol and several else family.name


def search(text: str) -> list[str]:
    """The full paths of the drivers that match a vendor, product, protocol or name.

    :param text: for example ``netapp``, ``dell fc`` or ``3par``.
    """
    return [path for path in classes() if families.match(path, text)]


def suggestion(name: str) -> str:
    """The end of an error message about an unknown driver: the drivers with similar names."""
    found = search(name)
    if found:
        names = [short_name(path) or path.rpartition(".")[2] for path in found]
        shown = ", ".join(sorted(names)[:_LISTED])
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return f"; drivers for it: {shown}{more} (`cinderlib driver list {name}`)"
    known = {*short_names(), *(family.name for family in families.FAMILIES)}
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; `cinderlib driver list` lists all drivers"


def resolve(name: str) -> str:
    """The full path of a driver's class.

    :param name: a full path, a class name or a short name.
    :raises ConfigurationError: the driver does not exist; the message lists similar names.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "option 'volume_driver' must be the class or the short name of a driver, for example"
            " 'lvm'; `cinderlib driver list` lists all drivers"
        )
    if "." in name:
        return name
    known = short_names()
    folded = {key.lower(): path for key, path in known.items()}
    path = known.get(name) or folded.get(name.lower().replace("-", "_"))
    if path is not None:
        return path
    same = [path for path in classes() if path.rpartition(".")[2] == name]
    if same:
        raise ConfigurationError(
            f"several drivers are called {name!r}; specify one by its full path: {', '.join(same)}"
        )
    raise ConfigurationError(
        f"volume driver {shown(name)} does not exist{suggestion(name)}", resource=name
    )
