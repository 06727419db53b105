"""Changes and damages documents at random, with the same result for the same dice."""

from __future__ import annotations

import copy
import random
from typing import Any

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, "", " ", "x", "0", "-1",
    "nonsense", "../../victim", "/etc/passwd", "a\0b", "\ud800", "\u202e", "x" * 300, "x" * 100_000,
    [], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, {"class": "Volume"},
    "cinder.volume.drivers.lvm.LVMVolumeDriver", "os.system", "antigravity", "2023-13-01",
    {"versioned_object.name": "Volume"},
    {"versioned_object.name": "os", "versioned_object.data": {}},
]  # fmt: skip
#: Bytes that are inserted to damage a text.
PIECES = [
    *(b"[", b"{", b"]", b"}", b'"', b"\\", b"\0", b"\xff", b"\n", b"=", b"9" * 50, b"9" * 5000),
    *(b"\\ud800", b"[" * 20_000, b'{"a":' * 20_000, b"a." * 500),
]


def places(document: Any) -> list[Any]:
    """All dicts and lists in a document that are not empty."""
    found, todo = [], [document]
    while todo:
        place = todo.pop()
        if isinstance(place, dict | list) and place:
            found.append(place)
            todo.extend(place.values() if isinstance(place, dict) else place)
    return found


def mutated(document: Any, dice: random.Random) -> Any:
    """A copy with one to three values replaced, removed, renamed, repeated or exchanged."""
    document = copy.deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        found = places(document)
        if not found:
            break
        place = dice.choice(found)
        key = dice.choice(list(place)) if isinstance(place, dict) else dice.randrange(len(place))
        how = dice.randrange(5)
        if how == 0:
            del place[key]
        elif how == 1 and isinstance(place, dict):
            place[str(dice.choice(VALUES))] = place.pop(key)
        elif how == 2 and isinstance(place, list):
            place.extend(copy.deepcopy(place))
        elif how == 3:
            place[key] = copy.deepcopy(dice.choice(found))
        else:
            place[key] = copy.deepcopy(dice.choice(VALUES))
    return document


def damaged(text: bytes, dice: random.Random) -> bytes:
    """A copy of the text with some bytes changed, removed or repeated."""
    data = bytearray(text)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        how = dice.randrange(4)
        if how == 0:
            data[at] = dice.randrange(256)
        elif how == 1:
            del data[at : at + dice.randrange(1, 50)]
        elif how == 2:
            data[at:at] = data[at : at + 100]
        else:
            data[at:at] = dice.choice(PIECES)
        if not data:
            break
    return bytes(data)
