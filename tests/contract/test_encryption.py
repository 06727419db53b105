"""Encryption of secrets in the store: data on disk, wrong keys, rotation."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest
from sqlalchemy.engine import make_url

import cinderlib as cl
from cinderlib import records
from cinderlib.errors import DecryptionError, InvalidPersistence
from cinderlib.persistence import encryption, generate_key, open_store
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.persistence.driver_base import PersistenceDriverBase
from cinderlib.persistence.encryption import EncryptedStore, Rotation
from cinderlib.records import (
    KINDS,
    ConnectionRecord,
    KeyValueRecord,
    Record,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    replace,
)
from cinderlib.testing.store import increment, volume

OLD, NEW, OTHER = generate_key(), generate_key(), generate_key()


def opened(url: str, *keys: str) -> EncryptedStore:
    store = open_store({"storage": "db", "connection": url, "encryption_keys": list(keys)})
    assert isinstance(store, EncryptedStore)
    return store


def in_clear(url: str) -> Store:
    return open_store({"storage": "db", "connection": url})


def with_secrets(mark: str) -> list[Record]:
    """A record of each kind that can have a secret. Only the secrets contain the mark."""
    return [
        volume("v", name=f"shown-{mark}", provider_auth=Secret(f"secret-{mark}")),
        SnapshotRecord(
            id="s",
            backend="b1",
            volume_id="v",
            volume_size=1,
            provider_auth=Secret(f"secret-{mark}"),
        ),
        ConnectionRecord(
            id="c",
            backend="b1",
            volume_id="v",
            connector={"host": "h"},
            conn_info=Secret({"data": {"auth_password": f"secret-{mark}"}}),
            device=Secret({"path": "/dev/x", "key": f"secret-{mark}"}),
        ),
        KeyValueRecord(id="k", value=f"secret-{mark}"),
    ]


def on_disk(url: str, text: str) -> int:
    """The number of times that a text occurs in the files of a database, including logs."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        folder = Path(parsed.database or "").parent
    else:
        where = parsed.query.get("host") or parsed.query["unix_socket"]
        assert isinstance(where, str)
        folder = (Path(where).parent if where.endswith("socket") else Path(where)) / "data"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.read_bytes().count(text.encode()) for path in files)


def secrets(store: Store) -> list[object]:
    """All secrets of a store, decrypted."""
    found: list[object] = []
    for kind, fields in records.SECRETS.items():
        for record in store.find(kind):
            values = [getattr(record, field) for field in fields]
            found += [
                each.reveal() if isinstance(each, Secret) else record.reveal()  # type: ignore[attr-defined]
                for each in values
                if each is not None
            ]
    return found


def test_every_field_that_is_secret_is_encrypted() -> None:
    declared = {
        kind: tuple(name for name, type_ in get_type_hints(kind).items() if type_ == Secret | None)
        for kind in KINDS.values()
    }
    declared[KeyValueRecord] = ("value",)
    assert dict(records.SECRETS) == declared


# --- data on disk --------------------------------------------------------------------------------


def test_no_secret_is_on_disk(url: str) -> None:
    mark = generate_key()
    given = with_secrets(mark)
    with opened(url, OLD) as store:
        written = store.apply(*map(Put, given))
        store.apply(Put(replace(written[0], description="written again")))
        found = [store.get(type(record), record.id) for record in given]
        assert found[1:] == list(written[1:])
        assert f"secret-{mark}" not in repr(found)
        assert [str(each).count(mark) for each in secrets(store)] == [1] * 5
    assert on_disk(url, f"shown-{mark}") > 0
    assert on_disk(url, f"secret-{mark}") == 0


def test_a_rotation_leaves_no_plain_text(sqlite_url: str) -> None:
    mark = generate_key()
    with in_clear(sqlite_url) as store:
        store.apply(*map(Put, with_secrets(mark)))
        store.apply(
            *[Put(KeyValueRecord(id=f"gone{n}", value=f"secret-{mark}")) for n in range(99)]
        )
        store.apply(*[Remove(KeyValueRecord, f"gone{n}") for n in range(99)])
        assert on_disk(sqlite_url, f"secret-{mark}") > 0
        with opened(sqlite_url, OLD) as encrypted:
            assert encrypted.rotate() == Rotation(encrypted=4)
            # Both are still open, so the result does not depend on cleanup by close().
            assert on_disk(sqlite_url, f"secret-{mark}") == 0
    assert on_disk(sqlite_url, f"shown-{mark}") > 0


# --- keys ----------------------------------------------------------------------------------------


def test_rotation_from_plain_text_to_a_key_and_to_the_next(url: str) -> None:
    with in_clear(url) as store:
        before = store.apply(*map(Put, with_secrets("x")))
        wanted = secrets(store)
    with opened(url, OLD) as store:
        assert secrets(store) == wanted
        assert store.rotate() == Rotation(encrypted=4)
        assert store.rotate() == Rotation(current=4)
    with opened(url, NEW, OLD) as store:
        assert secrets(store) == wanted
        assert store.rotate() == Rotation(encrypted=4)
    with opened(url, NEW) as store:
        assert secrets(store) == wanted
        # Records that were read before the rotation are still current.
        found = [store.get(type(record), record.id) for record in before]
        assert found == list(before)
        store.apply(*map(Put, before))


@pytest.mark.parametrize("keys", [[], [OTHER]], ids=["no key", "another key"])
def test_without_the_key_everything_but_secrets_is_readable(
    sqlite_url: str, keys: list[str]
) -> None:
    with opened(sqlite_url, OLD) as store:
        store.apply(*map(Put, with_secrets("x")))
        wanted = secrets(store)
    with opened(sqlite_url, *keys) if keys else in_clear(sqlite_url) as store:
        for kind in records.SECRETS:
            assert len(store.find(kind)) == len(list(store.iterate(kind))) == store.count(kind)
        (found,) = store.find(VolumeRecord, {"name": "shown-x"})
        assert repr(found.provider_auth) == "Secret('***')"
        assert found.provider_auth is not None
        for reveal in (found.provider_auth.reveal, store.find(KeyValueRecord)[0].reveal):
            with pytest.raises(DecryptionError, match=r"encryption_keys") as caught:
                reveal()
            assert not caught.value.retryable
            assert records.ENCRYPTED not in str(caught.value)
        # Writing a record without the key keeps its secret.
        store.apply(Put(replace(found, size=7)))
        (connection,) = store.find(ConnectionRecord)
        store.apply(Put(replace(connection, device=None)))
    with opened(sqlite_url, OLD) as store:
        assert store.find(VolumeRecord)[0].size == 7
        assert secrets(store) == [each for each in wanted if "path" not in each]  # type: ignore[operator]


@pytest.mark.parametrize("keys", [[], [OTHER]], ids=["no key", "another key"])
def test_the_error_identifies_the_secret_and_its_record(sqlite_url: str, keys: list[str]) -> None:
    with opened(sqlite_url, OLD) as store:
        store.apply(*map(Put, with_secrets("x")))
    with opened(sqlite_url, *keys) if keys else in_clear(sqlite_url) as store:
        connection = store.get(ConnectionRecord, "c")
        assert connection is not None
        assert connection.conn_info is not None
        with pytest.raises(DecryptionError, match="conn_info of connection 'c'") as caught:
            connection.conn_info.reveal()
        assert caught.value.resource == "c"


def test_a_rotation_reports_secrets_that_no_key_decrypts(sqlite_url: str, caplog) -> None:
    with opened(sqlite_url, OLD) as store:
        store.apply(*map(Put, with_secrets("x")))
    with opened(sqlite_url, OTHER) as store:
        assert store.rotate() == Rotation(failed=4)
    assert "The provider_auth of volume 'v' is encrypted" in caplog.text


def test_a_secret_that_was_copied_from_another_record_is_refused(sqlite_url: str) -> None:
    """A user with access to the database cannot move a secret to another volume."""
    with opened(sqlite_url, OLD) as store:
        _, theirs = store.apply(
            Put(volume("mine", provider_auth=Secret("CHAP me mine"))),
            Put(volume("theirs", provider_auth=Secret("CHAP me theirs"))),
        )
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            other.execute(
                "UPDATE cinderlib_volume SET document = json_set(document, '$.provider_auth',"
                " (SELECT json_extract(document, '$.provider_auth') FROM cinderlib_volume"
                " WHERE id = 'theirs')) WHERE id = 'mine'"
            )
        found = store.get(VolumeRecord, "mine")
        assert found is not None
        assert found.provider_auth is not None
        with pytest.raises(DecryptionError, match="volume 'mine'"):
            found.provider_auth.reveal()
        assert store.get(VolumeRecord, "theirs") == theirs


@pytest.mark.parametrize(
    "given", ["", [], " \n", "short", ["x" * 44], [OLD, "ö" * 44], 7, {"a": 1}]
)
def test_invalid_keys_are_refused_and_not_shown(given: object) -> None:
    with pytest.raises(InvalidPersistence, match="generate-key") as caught:
        open_store({"storage": "memory", "encryption_keys": given})
    assert "xxx" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_keys_can_be_one_string(sqlite_url: str) -> None:
    with opened(sqlite_url, OLD) as store:
        store.apply(*map(Put, with_secrets("x")))
    config = {"storage": "db", "connection": sqlite_url, "encryption_keys": f"{NEW}\n{OLD}\n"}
    with open_store(config) as store:
        assert len(secrets(store)) == 5


def test_a_persistence_class_of_cinderlib_5_is_not_encrypted() -> None:
    with pytest.raises(InvalidPersistence, match="encrypt them itself"):
        open_store({"storage": PersistenceDriverBase, "encryption_keys": OLD})


def test_the_error_for_a_missing_package() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = sys.modules['cryptography.fernet'] = None\n"
        "import cinderlib\n"
        "cinderlib.Controller({'storage': 'memory'}).close()\n"
        f"cinderlib.Controller({{'storage': 'memory', 'encryption_keys': {OLD!r}}})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "MissingDependency" in done.stderr
    assert "cinderlib[encryption]" in done.stderr


# --- concurrent and interrupted rotation ---------------------------------------------------------


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(encryption, "PAGE", 10)
    return None


def test_a_rotation_that_was_killed_is_run_again(url: str, small_pages: None) -> None:
    with opened(url, OLD) as store:
        store.apply(*[Put(volume(provider_auth=Secret(f"CHAP {n}"))) for n in range(35)])
        wanted = sorted(map(str, secrets(store)))

    def rotate() -> None:
        rotating = opened(url, NEW, OLD)
        inner = rotating._store
        rewrite, pages = inner.rewrite, iter(range(2))

        def killed_later(page: list[Record]) -> list[Record]:
            if next(pages, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return rewrite(page)

        inner.rewrite = killed_later  # type: ignore[method-assign]
        rotating.rotate()

    process = multiprocessing.get_context("fork").Process(target=rotate)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with opened(url, NEW, OLD) as store:
        assert sorted(map(str, secrets(store))) == wanted
        assert store.rotate() == Rotation(encrypted=15, current=20)
    with opened(url, NEW) as store:
        assert sorted(map(str, secrets(store))) == wanted


def test_a_rotation_keeps_concurrent_changes(url: str, small_pages: None) -> None:
    """Two processes change records while two rotate them."""
    ids = [f"v{n}" for n in range(25)]
    with opened(url, OLD) as store:
        store.apply(*[Put(volume(id, provider_auth=Secret(f"CHAP {id}"))) for id in ids])

    def change() -> None:
        with opened(url, NEW, OLD) as store:
            for _ in range(4):
                for id in ids:
                    increment(store, id)

    def rotate() -> None:
        with opened(url, NEW, OLD) as store:
            for _ in range(5):
                assert store.rotate().failed == 0

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work) for work in (change, change, rotate, rotate)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    with opened(url, NEW) as store:
        assert [record.size for record in store.iterate(VolumeRecord)] == [9] * 25
        assert [record.version for record in store.iterate(VolumeRecord)] == [9] * 25
        assert sorted(map(str, secrets(store))) == sorted(f"CHAP {id}" for id in ids)


def test_a_record_read_before_the_rotation_is_written_with_the_new_key(url: str) -> None:
    with opened(url, OLD) as store:
        store.apply(*map(Put, with_secrets("x")))
    with opened(url, NEW, OLD) as user, opened(url, NEW, OLD) as rotating:
        read = user.get(ConnectionRecord, "c")
        assert read is not None
        assert rotating.rotate().encrypted == 4
        user.apply(Put(replace(read, status="attached")))
    with opened(url, NEW) as store:
        assert len(secrets(store)) == 5  # encrypted with the new key


# --- a controller --------------------------------------------------------------------------------


def test_volumes_are_used_as_without_encryption(sqlite_url: str, tmp_path: Path) -> None:
    config = {"storage": "db", "connection": sqlite_url, "encryption_keys": [OLD]}

    def controller(config: object) -> cl.Controller:
        return cl.Controller(config, state_path=tmp_path / "state")

    options = {"volume_driver": "file", "file_root": str(tmp_path / "volumes")}
    with controller(config) as ctl:
        made = ctl.backend("files", **options).create_volume(1, "data")
        made.attach()
        ctl.persistence.set_key_value(cl.KeyValue("k", "text"))
    with controller({"storage": "db", "connection": sqlite_url}) as ctl:
        (found,) = ctl.volumes()
        assert (found.name, found.status) == ("data", "in-use")
        (connection,) = ctl.connections()
        assert "***" in str(connection.to_dict())
        for use in (
            lambda: connection.connection_info,
            lambda: connection.jsons,
            lambda: ctl.persistence.get_key_values("k"),
            ctl.backend("files", **options).volumes[0].detach,
        ):
            with pytest.raises(DecryptionError):
                use()
        with pytest.raises(InvalidPersistence, match="encryption_keys"):
            ctl.rotate_encryption()
    with controller({**config, "encryption_keys": [NEW, OLD]}) as ctl:
        assert ctl.rotate_encryption() == Rotation(encrypted=2)
        assert ctl.persistence.get_key_values("k") == [cl.KeyValue("k", "text")]
        (found,) = ctl.backend("files", **options).volumes
        found.detach()
        found.delete()
