"""The URL of a store in etcd: ``etcd://user:password@host:2379,host2:2379/prefix?ca=...``."""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse

from cinderlib import urls
from cinderlib.errors import InvalidPersistence

SCHEME = "etcd"
PORT = 2379

#: Seconds after which etcd ends the lease of a process that does not renew it.
LEASE = 15
#: etcd extends shorter ones.
SHORTEST_LEASE = 2

#: Parameters that are the paths of files.
FILES = ("ca", "cert", "key")

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]/@]+))(?::(\d{1,5}))?")
_EXAMPLE = "etcd://host1:2379,host2:2379/prefix"


@dataclasses.dataclass(frozen=True)
class Address:
    """A parsed URL.

    :ivar endpoints: hosts and ports of the members of the cluster.
    :ivar prefix: all keys of the store start with it.
    :ivar ca: file with the certificates of the authorities that sign the servers' certificates;
        with it, connections use TLS.
    :ivar cert: file with this client's certificate, for servers that request one.
    :ivar key: file with the key of this certificate.
    :ivar lease: seconds without renewal after which a process loses its locks.
    :ivar display_name: the URL without secrets.
    """

    endpoints: tuple[tuple[str, int], ...]
    prefix: str
    display_name: str
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    lease: int = LEASE


def parse(url: str) -> Address:
    """Parse the URL of a store in etcd.

    :raises InvalidPersistence: it is not valid, or a file that it names cannot be read.
    """
    rest = url.removeprefix(f"{SCHEME}://")
    # A password may contain `/`, `?` and `@`, as in the URLs of databases.
    login, _, place = rest.rpartition("@")
    place, _, query = place.partition("?")
    hosts, _, path = place.partition("/")
    prefix = urllib.parse.unquote(path).strip("/")
    user, colon, password = login.partition(":")
    options = _options(query)
    return Address(
        endpoints=tuple(_endpoint(host) for host in hosts.split(",")),
        prefix=prefix or "cinderlib",
        display_name=urls.hide(url),
        user=urllib.parse.unquote(user) or None,
        password=urllib.parse.unquote(password) if colon else None,
        lease=_lease(options.pop("lease", str(LEASE))),
        **_files(options),
    )


def _endpoint(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or int(found[3] or PORT) > 65535:
        # The text is not repeated: a URL that is not valid may contain a password anywhere.
        raise InvalidPersistence(
            f"The persistence 'connection' is not a valid URL of etcd. Specify one like {_EXAMPLE}"
        )
    return found[1] or found[2], int(found[3] or PORT)


def _options(query: str) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidPersistence(
            "The parameters in the URL of etcd are not valid. Specify them like ?ca=FILE&lease=15"
        ) from None
    options = dict(pairs)
    known = (*FILES, "lease")
    unknown = sorted(options.keys() - set(known))
    if unknown:
        raise InvalidPersistence(
            f"The URL of etcd has the unknown parameter {unknown[0]!r}; known parameters are"
            f" {', '.join(known)}"
        )
    return options


def _lease(text: str) -> int:
    if not text.isdecimal() or not SHORTEST_LEASE <= int(text) <= 3600:
        raise InvalidPersistence(
            f"lease in the URL of etcd must be {SHORTEST_LEASE} to 3600 seconds, not {text[:20]!r}"
        )
    return int(text)


def _files(options: dict[str, str]) -> dict[str, str]:
    files = {name: os.path.abspath(path) for name, path in options.items()}
    if files and "ca" not in files:
        raise InvalidPersistence("cert and key in the URL of etcd need ca as well")
    if ("cert" in files) != ("key" in files):
        raise InvalidPersistence("The URL of etcd needs both cert and key, or none of them")
    for name, path in files.items():
        try:
            with open(path, "rb"):
                pass
        except OSError as exc:
            raise InvalidPersistence(
                f"{name} in the URL of etcd: {path} cannot be read ({exc.strerror})"
            ) from None
    return files
