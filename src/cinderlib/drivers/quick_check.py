"""Accepts correct options of a backend without Cinder, whose import takes more than a second.

A complete check keeps the rules for the options of the driver. A later check accepts a backend if
these rules are sufficient to see that each option is correct. Everything else is left to the
complete check, so only that has messages.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from cinderlib.drivers import package_cache
from cinderlib.drivers.file import root
from cinderlib.drivers.port import Settings
from cinderlib.drivers.port_values import Lacks
from cinderlib.errors import MissingDependency

_KIND = "options"
#: Larger numbers are left to the complete check.
_LARGEST = 2**53


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an option accepts, at least.

    :ivar secret: whether ``$`` is an ordinary character in it.
    :ivar choices: the only values.
    :ivar low, high: the limits of a number.
    """

    kind: Literal["text", "texts", "integer", "number", "boolean"]
    secret: bool = False
    choices: list[str] | None = None
    low: int | float | None = None
    high: int | float | None = None


class Known(msgspec.Struct):
    """The facts about a driver.

    :ivar driver: full path of the class.
    :ivar rules: the options whose rules are simple, by name.
    :ivar lacks: its requirements that are missing on this host.
    """

    driver: str
    rules: dict[str, Rule]
    lacks: Lacks


#: The drivers that check their options, with a function that repeats the check without Cinder.
OWN_CHECKS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "cinderlib.drivers.file.driver.FileDriver": lambda options: (
        root.problem(options.get("file_root")) is None
    )
}


def is_useful(settings: Settings) -> bool:
    """Whether Cinder would be imported for a check, only to check the options of one backend."""
    imported = {"cinder", "oslo_config"} & sys.modules.keys()
    return not imported and not settings.cinder_options


def accepted(options: Mapping[str, Any]) -> Lacks | None:
    """Check the options of a backend.

    :returns: the requirements of the driver that are missing on this host; ``None`` if the complete
        check must decide.
    """
    with contextlib.suppress(MissingDependency):
        known = _load().get(str(options.get("volume_driver")))
        if known is not None and _accepts(known, options):
            return known.lacks
    return None


def keep(name: str, known: Known) -> None:
    """Keep the facts about a driver for later processes.

    :param name: the value of ``volume_driver``.
    """
    package_cache.save(_KIND, {**_load(), name: known})


def _load() -> dict[str, Known]:
    return package_cache.load(_KIND, dict[str, Known]) or {}


def _accepts(known: Known, options: Mapping[str, Any]) -> bool:
    for name, value in options.items():
        rule = known.rules.get(name)
        if rule is None or not (value is None or is_correct(value, rule)):
            return False
    check = OWN_CHECKS.get(known.driver)
    return check is None or check(options)


def is_correct(value: Any, rule: Rule) -> bool:
    """Whether a value certainly satisfies a rule."""
    match rule.kind:
        case "text":
            return (
                isinstance(value, str)
                and (rule.secret or "$" not in value)
                and (rule.choices is None or value in rule.choices)
            )
        case "texts":
            items = value if isinstance(value, list) else [value]
            return all(isinstance(item, str) and "$" not in item for item in items)
        case "boolean":
            return isinstance(value, bool) or value in ("true", "false")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float) and (rule.kind == "integer" or not math.isfinite(value)):
        return False
    return abs(value) <= _LARGEST and (
        (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)
    )
