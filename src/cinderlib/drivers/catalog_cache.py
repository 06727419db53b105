"""Keeps the list of drivers between runs: importing all drivers takes seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from cinderlib.drivers import package_cache

_KIND = "drivers"

Entry = dict[str, Any]


class Catalog(msgspec.Struct):
    """The drivers. Most have the same options, so each option is stored once.

    :ivar options: the options, as JSON.
    :ivar drivers: the drivers; ``driver_options`` has the numbers of the options.
    """

    options: list[msgspec.Raw]
    drivers: dict[str, Entry]

    @classmethod
    def of(cls, listing: dict[str, Entry]) -> Catalog:
        """The catalog for a listing."""
        numbers: dict[bytes, int] = {}
        drivers = {
            name: {
                **entry,
                "driver_options": [
                    numbers.setdefault(msgspec.json.encode(option), len(numbers))
                    for option in entry["driver_options"]
                ],
            }
            for name, entry in listing.items()
        }
        return cls([msgspec.Raw(text) for text in numbers], drivers)

    def listing(self, *, options: bool) -> dict[str, Entry]:
        """The drivers by name; each has a copy of the options.

        :param options: whether to include ``driver_options``.
        """
        found = {}
        for name, entry in self.drivers.items():
            found[name] = {key: value for key, value in entry.items() if key != "driver_options"}
            if options:
                found[name]["driver_options"] = [
                    msgspec.json.decode(self.options[number]) for number in entry["driver_options"]
                ]
        return found


def load() -> Catalog | None:
    """The stored catalog; ``None`` if there is none for the present state of this host."""
    return package_cache.load(_KIND, Catalog)


def save(catalog: Catalog) -> None:
    """Store a catalog for later processes."""
    package_cache.save(_KIND, catalog)
