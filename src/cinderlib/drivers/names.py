"""Which drivers there are, and what they are called. Found by reading Cinder's files: nothing of
Cinder is imported."""

from __future__ import annotations

import collections
import difflib
import functools
import importlib.util
import re
from pathlib import Path

from cinderlib.drivers import families
from cinderlib.errors import ConfigurationError, MissingDependency

#: Drivers that ship with this library.
OWN = ("cinderlib.drivers.file.driver.FileDriver",)

_PACKAGE = "cinder.volume.drivers"
_DECLARED = re.compile(
    r"^@(?:\w+\.)?volumedriver\s*\n(?:@[^\n]*\n)*class[ ]+(\w+)"
    # or a class that makes the driver which its options ask for
    r"|^class[ ]+(\w+)\((?:\w+\.)?ProxyVD\)",
    re.MULTILINE,
)
#: Classes that Cinder registers as drivers and that only serve others to derive from.
_BASES = frozenset({"DataCoreVolumeDriver", "PowerFlexBaseDriver"})
#: How many drivers a message lists by name.
_LISTED = 8


@functools.cache
def classes() -> tuple[str, ...]:
    """The full paths of all volume driver classes of the installed Cinder, and of our own.

    :raises MissingDependency: Cinder is not installed.
    """
    folder = cinder_folder() / "volume" / "drivers"
    found = set(OWN)
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

    Besides the names from :func:`short_name`, a class's own name where no other class has it.
    """
    by_class = collections.Counter(path.rpartition(".")[2] for path in classes())
    own = {path.rpartition(".")[2]: path for path in classes()}
    names = {name: path for name, path in own.items() if by_class[name] == 1}
    return names | {name: path for path in classes() if (name := short_name(path))}


@functools.cache
def short_name(path: str) -> str | None:
    """The short name of the class of that full path; None for a class in no known family.

    A family's only driver has the family's name: ``lvm``, ``solidfire``; the others add their
    protocol: ``powermax_fc``.
    """
    family = families.of(path)
    if family is None or path.rpartition(".")[2] in _BASES:
        return None
    protocol = families.protocol(path)
    several = sum(families.of(each) is family for each in classes()) > 1
    return f"{family.name}_{protocol}" if protocol and several else family.name


def search(text: str) -> list[str]:
    """The full paths of the classes that a person can mean: by vendor, product, protocol or name.

    :param text: for example ``netapp``, ``dell fc`` or ``3par``.
    """
    return [path for path in classes() if families.match(path, text)]


def suggestion(name: str) -> str:
    """What to use in place of a name that no driver has, as the end of a message."""
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
    """The full path of the class that a user means.

    :param name: a full path, a class name or a short name.
    :raises ConfigurationError: there is no such driver; the message lists those that match.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "option 'volume_driver' must name a driver: its class, or a short name like 'lvm'"
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
        raise ConfigurationError(f"several drivers are called {name!r}: {', '.join(same)}")
    raise ConfigurationError(f"there is no volume driver {name!r}{suggestion(name)}", resource=name)
