"""Checks of values that come from outside: text, flags, numbers, paths, lists, mappings, JSON data.

Each function returns the value in the form that the library uses. Otherwise it raises
:class:`cinderlib.errors.InvalidInput`, or the subclass that its docstring names, with a message for
people. A message never repeats a long value in full, and never a value that can contain secrets.

The rules for IDs, sizes, names and connectors are in :mod:`cinderlib.validation`.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from cinderlib.errors import InvalidInput, OutOfRange

T = TypeVar("T")

#: Longest name, description, ID, host or backend name, in characters, as in Cinder.
MAX_TEXT = 255
#: Longest path that Linux accepts, in bytes.
MAX_PATH = 4095
#: Longest timeout, in seconds.
MAX_SECONDS = 2**31 - 1
#: Maximum nesting of lists and dicts in a connector or in connection information.
MAX_DEPTH = 32
#: Largest integer in JSON data that all readers parse exactly.
MAX_INT = 2**63 - 1


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message: quoted, and shortened if it is longer than a file system allows."""
    text = os.fspath(path)
    return repr(text) if len(text) <= 1024 else f"{text[:80]!r}..."


def shown(value: Any) -> str:
    """A value for a message: quoted, and shortened if it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 80 else f"{value[:80]!r}..."
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_INT else f"a number of {value.bit_length()} bits"
    if isinstance(value, type):
        return f"class {value.__name__!r}"
    return f"a value of type {type_name(value)}"


def _is_plain(text: str) -> bool:
    """Whether a text needs no further check."""
    return text.isascii() and "\0" not in text


def type_name(value: Any) -> str:
    """The name of a value's type, for a message."""
    return type(value).__name__


def check_text(value: Any, what: str, *, longest: int = MAX_TEXT) -> str:
    """Text that every store and every protocol can carry: valid Unicode, without NUL.

    :param what: the name of the value, for the message.
    :param longest: maximum length, in characters.
    """
    if isinstance(value, str) and len(value) <= longest and _is_plain(value):
        return value  # nearly all texts: this must be fast for long lists of records
    if not isinstance(value, str):
        raise InvalidInput(f"The {what} must be text, not {shown(value)}.")
    if len(value) > longest:
        raise InvalidInput(f"The {what} has {len(value)} characters; the maximum is {longest}.")
    if "\0" in value:
        raise InvalidInput(f"The {what} contains a NUL character, which cannot be stored.")
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput(
            f"The {what} is not valid Unicode text: character {exc.start + 1} is half of a "
            "surrogate pair."
        ) from None
    return value


def check_optional_text(value: Any, what: str) -> str | None:
    """Like :func:`check_text`; ``None`` stays ``None``."""
    return None if value is None else check_text(value, what)


def check_instance(value: Any, kind: type[T], what: str) -> T:
    """An object of a class.

    :param what: the argument's name, for the message.
    """
    if not isinstance(value, kind):
        raise InvalidInput(f"The {what} must be a cinderlib {kind.__name__}, not {shown(value)}.")
    return value


def check_flag(value: Any, what: str) -> bool:
    """A boolean; 0, 1 and ``None`` count as one.

    Text does not: every text but the empty one would be true, ``'no'`` too.
    """
    if value is None or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise InvalidInput(f"The {what} must be True or False, not {shown(value)}.")


def check_whole_number(value: Any, what: str, *, least: int = 0, most: int = MAX_INT) -> int:
    """A whole number.

    :raises OutOfRange: it is less than the least or more than the most.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"The {what} must be a whole number, not {shown(value)}.")
    if not least <= value <= most:
        raise OutOfRange(f"The {what} must be from {least} to {most}, not {shown(value)}.")
    return value


def check_seconds(value: Any, what: str) -> float:
    """A time to wait for, in seconds.

    :raises OutOfRange: it is negative or more than :data:`MAX_SECONDS`.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidInput(f"The {what} must be a number of seconds, not {shown(value)}.")
    if not 0 <= value <= MAX_SECONDS:  # not NaN either
        raise OutOfRange(f"The {what} must be from 0 to {MAX_SECONDS} seconds, not {shown(value)}.")
    return value


def check_path(value: Any, what: str) -> str:
    """The path of a file or folder.

    :param value: text or a :class:`os.PathLike` object.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise InvalidInput(f"The {what} must be a path, not {shown(value)}.")
    if len(path) > MAX_PATH:
        raise InvalidInput(
            f"The {what} has {len(path)} characters; the maximum is {MAX_PATH} for a path."
        )
    if not path or "\0" in path:
        raise InvalidInput(f"The {what} cannot be {shown(path)}: it is not a path.")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InvalidInput(
            f"The {what} has a character that no path on this host can have: {shown(path)}."
        ) from None
    return path


def check_binary_file(value: Any, method: str, what: str) -> None:
    """A binary file or pipe, or an object with the same method.

    :param method: ``read`` or ``write``.
    """
    if isinstance(value, io.TextIOBase) or not callable(getattr(value, method, None)):
        raise InvalidInput(
            f"The {what} must be a binary file or pipe that is open to {method}, not "
            f"{shown(value)}."
        )


def check_mapping(value: Any, what: str) -> dict[str, Any]:
    """A mapping whose keys are text.

    :returns: a copy. Its values are not checked.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(f"The {what} must be a mapping, not {shown(value)}.")
    return {check_text(key, f"key in the {what}"): item for key, item in value.items()}


def check_items(value: Any, kind: type[T], what: str) -> Iterable[T]:
    """Several objects of a class, checked one by one when they are used.

    :param value: any iterable except a text.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise InvalidInput(f"The {what} must be a list, not {shown(value)}.")
    return (check_instance(item, kind, f"item in the {what}") for item in value)


def check_texts(value: Any, what: str) -> list[str]:
    """A list of texts; a text alone is a list of one."""
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, Iterable) or isinstance(value, bytes):
        raise InvalidInput(f"The {what} must be a list of texts, not {shown(value)}.")
    return [check_text(item, f"text in the {what}") for item in value]


def check_choice(value: Any, choices: Collection[str], what: str) -> str:
    """One value of a fixed list, such as :data:`VOLUME_STATUSES`."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidInput(
            f"The {what} cannot be {shown(value)}. Choose one of: {', '.join(sorted(choices))}."
        )
    return value


def check_json(value: Any, what: str, *, depth: int = MAX_DEPTH) -> Any:
    """Data that JSON can represent; tuples become lists. Messages never show it: it can be secret.

    :param depth: maximum nesting.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) <= MAX_TEXT and _is_plain(value):
            return value
        return check_text(value, f"text in the {what}", longest=2**20)
    if isinstance(value, int):
        if abs(value) > MAX_INT:
            raise InvalidInput(f"The {what} contains a number with more than 63 bits.")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"The {what} contains a number that is infinite or not a number.")
        return value
    if depth <= 0:
        raise InvalidInput(f"The {what} is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, Mapping):
        named = f"key in the {what}"
        return {
            check_text(key, named): check_json(item, what, depth=depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [check_json(item, what, depth=depth - 1) for item in value]
    raise InvalidInput(f"The {what} contains a {type_name(value)}; only JSON data is allowed.")


def check_json_in_place(value: Any, what: str) -> Any:
    """The same without a copy, in a third of the time.

    :returns: the same object.
    """
    if not _is_plain_data(value, MAX_DEPTH):
        check_json(value, what)
    return value


def _is_plain_data(value: Any, depth: int) -> bool:
    """Whether JSON data needs no further check. Texts are checked together, because a call for each
    takes most of the time of loading long lists of connections."""
    if type(value) is dict:
        if not _are_plain(list(value)):
            return False
        items: Iterable[Any] = value.values()
    elif type(value) is list:
        items = value
    else:
        return False
    if depth <= 0:
        return False
    texts = []
    for item in items:
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind is int:
            if not -MAX_INT <= item <= MAX_INT:
                return False
        elif not (kind is bool or item is None or _is_plain_data(item, depth - 1)):
            return False
    return _are_plain(texts)


def _are_plain(texts: list[Any]) -> bool:
    """Whether each item is a text that needs no further check."""
    try:
        joined = "".join(texts)
    except TypeError:
        return False
    if len(joined) > MAX_TEXT and max(map(len, texts)) > MAX_TEXT:
        return False
    return _is_plain(joined)


def json_object(text: str | bytes) -> dict[str, Any] | None:
    """The object that a JSON text represents, or ``None`` if it is not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
