"""Documents that were tampered with or damaged: read completely, or refused by an error of ours,
and never a way to have something imported.

``CINDERLIB_MUTATIONS`` says how many are tried of each kind (300 by default); the seed is fixed, so
that a failure can be had again: it is in the message.
"""

import copy
import json
import os
import random
import subprocess
import sys
import time

import pytest
from documents import CINDERLIB5

from cinderlib import serialization as s
from cinderlib.errors import InvalidDocument

COUNT = int(os.environ.get("CINDERLIB_MUTATIONS", "300"))
TEXTS = [path.read_text() for path in sorted(CINDERLIB5.glob("*.json"))]
TEXTS += [s.to_text(s.read(text)) for text in TEXTS]
DOCUMENTS = [json.loads(text) for text in TEXTS]

VALUES = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**30, 1.5, 1e308, "", " ", "x", "0", "-1",
    "nonsense", "../../victim", "/etc/passwd", "a\0b", "\ud800", "\u202e", "x" * 300, "x" * 100_000,
    [], {}, [[]], [None], {"": None}, {"a": {"b": {"c": []}}}, {"class": "Volume"},
    "cinder.volume.drivers.lvm.LVMVolumeDriver", "os.system", "antigravity", "2023-13-01",
    {"versioned_object.name": "Volume"},
    {"versioned_object.name": "os", "versioned_object.data": {}},
]  # fmt: skip


def places(document):
    """Every dict and list in it that has something."""
    found, todo = [], [document]
    while todo:
        place = todo.pop()
        if isinstance(place, dict | list) and place:
            found.append(place)
            todo.extend(place.values() if isinstance(place, dict) else place)
    return found


def mutated(document, dice):
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


def damaged(text, dice):
    """Its bytes with some of them changed, removed or repeated."""
    data = bytearray(text.encode())
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
            data[at:at] = dice.choice(
                [b"[", b"{", b'"', b"\\", b"\0", b"\xff", b"9" * 50, b"\\ud800"]
            )
        if not data:
            break
    return bytes(data)


def try_to_read(source, what):
    begin = time.monotonic()
    try:
        documents = s.read(source)
    except InvalidDocument as exc:
        message, accepted = str(exc), 0
    except BaseException as exc:
        raise AssertionError(f"{what}: {exc!r}") from exc
    else:
        assert s.read(s.to_text(documents)) == documents, what
        message, accepted = "", 1
    assert accepted or 0 < len(message) < 1000, what
    assert time.monotonic() - begin < 5, what
    return accepted


@pytest.mark.parametrize("kind", ["values", "text", "bytes"])
def test_a_changed_document_is_read_or_refused(kind):
    modules, accepted = set(sys.modules), 0
    for seed in range(COUNT):
        dice = random.Random(seed)
        if kind == "bytes":
            source = damaged(dice.choice(TEXTS), dice)
        else:
            source = mutated(dice.choice(DOCUMENTS), dice)
            source = json.dumps(source) if kind == "text" else source
        accepted += try_to_read(source, f"{kind}, seed {seed}")
    assert 0 < accepted < COUNT, "the changes are neither all harmless nor all fatal"
    assert set(sys.modules) - modules == set()


def test_nothing_that_a_document_names_is_imported(tmp_path):
    (tmp_path / "evil.py").write_text("open('was-here', 'w')\nclass Driver: pass\n")
    options = {"volume_backend_name": "a", "volume_driver": "evil.Driver", "class": "evil.Driver"}
    document = {"class": "Backend", "backend": options, "volumes": []}
    program = (
        "import sys; from cinderlib import serialization as s; before = set(sys.modules)\n"
        f"for more in ({{}}, {{'format': 1}}): print(s.read({document!r} | more).backend_options)\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
        "assert not {'cinder', 'os_brick', 'sqlalchemy', 'evil'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("evil.Driver") == 4
    assert not (tmp_path / "was-here").exists()
