"""Secrets encrypted in the store, whichever store it is, with keys that the user gives.

:class:`EncryptedStore` stands before a store: it encrypts the secrets of records that are written
and decrypts those that are read, and leaves all else as it is, so that a store can be searched,
listed and counted without a key. What is encrypted begins with a mark, by which any store's reader
knows it. Where no key opens it, the record is there all the same, and only revealing the secret is
an error.

Each secret is one token of Fernet (AES-128 in CBC mode and an HMAC with SHA-256), which holds, with
the secret, of which record and field it is: copied to another row, it is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from cinderlib.errors import DamagedRecord, DecryptionError, InvalidPersistence, MissingDependency
from cinderlib.persistence.base import PAGE, Change, Put, Query, Store, not_json
from cinderlib.progress import Listener, Progress, ProgressReporter
from cinderlib.records import (
    ENCRYPTED,
    SECRETS,
    Record,
    Secret,
    is_encrypted,
    replace,
    undecryptable,
)

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)


def generate_key() -> str:
    """A new key for ``encryption_keys``: 32 random bytes, as 44 characters of URL-safe base64.

    :raises MissingDependency: the Python package ``cryptography`` is not installed.
    """
    return _fernet().generate_key().decode()


def _fernet() -> type[Fernet]:
    try:
        from cryptography.fernet import Fernet
    except ImportError as exc:
        raise MissingDependency(
            "Secrets in the store are encrypted with the Python package 'cryptography'. Install it:"
            " pip install 'cinderlib[encryption]'"
        ) from exc
    return Fernet


class Keys:
    """The keys of a store. The first encrypts; all decrypt.

    :param given: keys of :func:`generate_key`, or one text with them, white space in between.
    :raises InvalidPersistence: one is no key, or there is none.
    :raises MissingDependency: the Python package ``cryptography`` is not installed.
    """

    def __init__(self, given: str | bytes | Iterable[str | bytes]) -> None:
        fernet = _fernet()
        from cryptography.fernet import InvalidToken

        self._invalid = InvalidToken
        self._ciphers = []
        for number, key in enumerate(_texts(given), start=1):
            try:
                self._ciphers.append(fernet(key))
            except ValueError:
                # What was given is not repeated: it is nearly a key.
                raise InvalidPersistence(
                    f"Number {number} of encryption_keys is no key: one has 44 characters, URL-safe"
                    " base64 of 32 bytes. `cinderlib store generate-key` makes one"
                ) from None
        if not self._ciphers:
            raise InvalidPersistence(
                "encryption_keys has no key in it. `cinderlib store generate-key` makes one; leave"
                " encryption_keys out to encrypt nothing"
            )

    def encrypt(self, record: Record, field: str, value: Any) -> str:
        """What is stored for a secret.

        :raises InvalidInput: JSON cannot hold it.
        """
        try:
            clear = msgspec.json.encode((record.kind, record.id, field, value))
        except (UnicodeEncodeError, NotImplementedError, TypeError) as exc:
            raise not_json(record, exc) from None
        return ENCRYPTED + self._ciphers[0].encrypt(clear).decode()

    def decrypt(self, record: Record, field: str, stored: str) -> Any:
        """The opposite.

        :raises DecryptionError: no key opens it, or it is not that record's.
        """
        for cipher in self._ciphers:
            try:
                clear = cipher.decrypt(stored.removeprefix(ENCRYPTED))
            except self._invalid:
                continue
            kind, id, of, value = msgspec.json.decode(clear)
            if (kind, id, of) == (record.kind, record.id, field):
                return value
            break
        raise undecryptable(field, record.kind, record.id)

    def is_current(self, stored: str) -> bool:
        """Whether a secret is encrypted with the first key."""
        try:
            self._ciphers[0].decrypt(stored.removeprefix(ENCRYPTED))
        except self._invalid:
            return False
        return True


def _texts(given: str | bytes | Iterable[str | bytes]) -> list[str]:
    if isinstance(given, str | bytes):
        given = [given]
    elif not isinstance(given, Iterable) or isinstance(given, Mapping):
        given = [""]
    parts: list[str] = []
    for each in given:
        text = each.decode("ascii", "replace") if isinstance(each, bytes) else each
        # One that is no text counts as a key that is none.
        parts += (text.split() or [""]) if isinstance(text, str) else [""]
    return parts


class _Encrypted(Secret):
    """A secret that is decrypted when it is first revealed: most that are read never are."""

    __slots__ = ("_decrypt",)

    def __init__(self, stored: str, decrypt: Callable[[], Any]) -> None:
        super().__init__(stored)
        self._decrypt: Callable[[], Any] | None = decrypt

    def reveal(self) -> Any:
        if self._decrypt is not None:
            self._value = self._decrypt()
            self._decrypt = None
        return self._value

    def known(self) -> Any:
        try:
            return self.reveal()
        except DecryptionError:
            return self._value


@dataclasses.dataclass(slots=True)
class Rotation:
    """What a rotation of keys did, in records that have secrets.

    :ivar encrypted: are now encrypted with the first key, and were in clear or under another key.
    :ivar current: were already.
    :ivar failed: have a secret that no key opens; it stays as it is, and is told in the log.
    """

    encrypted: int = 0
    current: int = 0
    failed: int = 0


class EncryptedStore(Store):
    """A store whose secrets are encrypted.

    :param store: where the records are.
    :param keys: the first encrypts, all decrypt.
    """

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self.shared = store.shared
        self.locks = store.locks

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r})"

    def get(self, kind: type[R], id: str) -> R | None:
        record = self._store.get(kind, id)
        return None if record is None else self._decrypted(record)

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        found = self._store.find(kind, where, after=after, limit=limit)
        return [self._decrypted(record) for record in found]

    def query(self, *queries: Query) -> list[list[Any]]:
        answers = self._store.query(*queries)
        return [[self._decrypted(record) for record in answer] for answer in answers]

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        page: int = PAGE,
    ) -> Iterator[R | DamagedRecord]:
        for found in self._store.scan(kind, where, after=after, page=page):
            yield found if isinstance(found, DamagedRecord) else self._decrypted(found)

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        return self._store.count(kind, where)

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        given = [change.record for change in changes if isinstance(change, Put)]
        written = self._store.apply(
            *[
                Put(self._encrypted(change.record), change.check)
                if isinstance(change, Put)
                else change
                for change in changes
            ]
        )
        # The secrets as they were given, so that nobody decrypts them again.
        return tuple(
            replace(new, **{field: getattr(old, field) for field in SECRETS[type(old)]})
            for new, old in zip(written, given, strict=True)
        )

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        return self._store.rewrite([self._encrypted(record) for record in records])

    def close(self) -> None:
        self._store.close()

    def rotate(self, tell: Listener = ProgressReporter()) -> Rotation:  # noqa: B008 (it keeps nothing)
        """Encrypt with the first key all that is in clear or under another one.

        It can be interrupted and run again, and others may use the store meanwhile.

        :param tell: is told how far it is.
        :raises StoreError: the store failed; what was done by then stays.
        """
        done, looked_at = Rotation(), 0
        kinds = [kind for kind, fields in SECRETS.items() if fields]
        total = sum(self._store.count(kind) for kind in kinds)
        for kind in kinds:
            records = self._store.iterate(kind)
            while page := list(itertools.islice(records, PAGE)):
                self._rotate(page, done)
                looked_at += len(page)
                tell(Progress(looked_at, max(total, looked_at), "records"))
        return done

    def _rotate(self, page: Sequence[Record], done: Rotation) -> None:
        failed: set[str] = set()
        while page:
            changed = []
            for record in page:
                stored = {field: value for field, value in _secrets(record) if value}
                changes = {}
                for field, value in stored.items():
                    try:
                        if not (is_encrypted(value) and self._keys.is_current(value)):
                            changes[field] = self._again(record, field, value)
                    except DecryptionError as exc:
                        if record.id not in failed:
                            LOG.warning("%s", exc)
                        failed.add(record.id)
                if changes:
                    changed.append(replace(record, **changes))
                elif stored and record.id not in failed:
                    done.current += 1
            left = self._store.rewrite(changed)
            done.encrypted += len({record.id for record in changed} - {r.id for r in left} - failed)
            # Others have written these meanwhile: with which key, is to be seen.
            again = [self._store.get(type(record), record.id) for record in left]
            page = [record for record in again if record is not None]
        done.failed += len(failed)

    def _again(self, record: Record, field: str, stored: Any) -> Any:
        clear = self._keys.decrypt(record, field, stored) if is_encrypted(stored) else stored
        return self._token(record, field, clear)

    def _token(self, record: Record, field: str, clear: Any) -> Any:
        token = self._keys.encrypt(record, field, clear)
        return Secret(token) if isinstance(getattr(record, field), Secret) else token

    def _encrypted(self, record: R) -> R:
        """The record as it is stored. A secret that no key opens stays as it was read."""
        changes = {
            field: self._token(record, field, value)
            for field, value in _secrets(record)
            if value and not is_encrypted(value)
        }
        return replace(record, **changes) if changes else record

    def _decrypted(self, record: R) -> R:
        """The record as its users know it."""
        changes: dict[str, Any] = {}
        for field, value in _secrets(record):
            if not is_encrypted(value):
                continue
            if isinstance(getattr(record, field), Secret):
                decrypt = functools.partial(self._keys.decrypt, record, field, value)
                changes[field] = _Encrypted(value, decrypt)
            else:
                with contextlib.suppress(DecryptionError):
                    changes[field] = self._keys.decrypt(record, field, value)
        return replace(record, **changes) if changes else record


def _secrets(record: Record) -> Iterator[tuple[str, Any]]:
    """The secrets of a record, in clear as far as they are known."""
    for field in SECRETS[type(record)]:
        value = getattr(record, field)
        yield field, value.known() if isinstance(value, Secret) else value
