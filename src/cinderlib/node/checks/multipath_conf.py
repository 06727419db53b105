"""The configuration of multipathd, as ``multipathd show config`` and ``multipath -t`` print it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import msgspec

#: A brace outside quotes. It is a separate token, with or without a space before it.
_BRACE = re.compile(r'([{}])(?=(?:[^"]*"[^"]*")*[^"]*$)')


class Section(msgspec.Struct):
    """``name { ... }``: its settings in their order, and the sections in it."""

    name: str
    settings: list[tuple[str, str]] = []
    sections: list[Section] = []

    def get(self, key: str) -> str | None:
        """The value of a setting; the last one wins."""
        return next((value for name, value in reversed(self.settings) if name == key), None)

    def all(self, name: str) -> Iterator[Section]:
        """The sections with this name."""
        return (section for section in self.sections if section.name == name)


def parse(text: str) -> Section:
    """Parse a configuration; lines that cannot be parsed are ignored."""
    top = Section(name="")
    open_sections = [top]
    for line in text.splitlines():
        try:
            words = shlex.split(_BRACE.sub(r" \1 ", line), comments=True)
        except ValueError:
            continue
        while words:
            if words[0] == "}":
                if len(open_sections) > 1:
                    open_sections.pop()
                words = words[1:]
            elif len(words) > 1 and words[1] == "{":
                section = Section(name=words[0])
                open_sections[-1].sections.append(section)
                open_sections.append(section)
                words = words[2:]
            else:
                end = words.index("}") if "}" in words else len(words)
                open_sections[-1].settings.append((words[0], " ".join(words[1:end])))
                words = words[end:]
    return top


def section_of(top: Section, key: str) -> str:
    """The section with a setting for all devices: ``overrides`` or ``defaults``."""
    found = any(section.get(key) is not None for section in top.all("overrides"))
    return "overrides" if found else "defaults"


def effective(top: Section, key: str) -> str | None:
    """The value of a setting for all devices."""
    sections = reversed(list(top.all(section_of(top, key))))
    return next((value for part in sections if (value := part.get(key)) is not None), None)


def hides(top: Section, kind: str, value: str) -> str | None:
    """The pattern of the blacklist that matches a device, unless an exception matches it.

    :param kind: ``'devnode'``, ``'wwid'`` or ``'protocol'``.
    :returns: ``None`` if no pattern matches.
    """
    if any(_matches(pattern, value) for pattern in _patterns(top, kind, "blacklist_exceptions")):
        return None
    patterns = _patterns(top, kind, "blacklist")
    return next((pattern for pattern in patterns if _matches(pattern, value)), None)


def _patterns(top: Section, kind: str, section: str) -> list[str]:
    return [value for part in top.all(section) for key, value in part.settings if key == kind]


def _matches(pattern: str, value: str) -> bool:
    inverted = pattern.startswith("!")
    try:
        return bool(re.search(pattern.removeprefix("!"), value)) != inverted
    except re.error:  # POSIX expressions differ from Python's
        return False
