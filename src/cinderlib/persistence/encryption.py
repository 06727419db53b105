"""Encrypts the secrets in any store, with keys from the user.

:class:`EncryptedStore` wraps a store. It encrypts the secrets of records on write and decrypts them
on read. It changes no other field, so a store can be searched, listed and counted without a key.
Encrypted values have a prefix, so the reader of any store recognizes them. If no key decrypts a
secret, the record can still be read; only revealing the secret is an error.

Each secret is one Fernet token (AES-128 in CBC mode and an HMAC with SHA-256). The token contains
the record and the field of the secret. A token that was copied to another row is rejected.
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
    """The keys of a store. The first key encrypts; all keys decrypt.

    :param given: keys from :func:`generate_key`, or one text with keys separated by white space.
    :raises InvalidPersistence: a key is not valid, or the list is empty.
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
                # The message does not repeat the value: it is nearly a key.
                raise InvalidPersistence(
                    f"Number {number} of encryption_keys is not a valid key: a key has 44 "
                    "characters, the URL-safe base64 of 32 bytes. `cinderlib store generate-key`"
                    " creates one"
                ) from None
        if not self._ciphers:
            raise InvalidPersistence(
                "encryption_keys is empty. `cinderlib store generate-key` creates a key. To encrypt"
                " nothing, leave encryption_keys out"
            )

    def encrypt(self, record: Record, field: str, value: Any) -> str:
        """Encrypt a secret for the store.

        :raises InvalidInput: JSON cannot represent it.
        """
        try:
            clear = msgspec.json.encode((record.kind, record.id, field, value))
        except (UnicodeEncodeError, NotImplementedError, TypeError) as exc:
            raise not_json(record, exc) from None
        return ENCRYPTED + self._ciphers[0].encrypt(clear).decode()

    def decrypt(self, record: Record, field: str, stored: str) -> Any:
        """Decrypt a secret from the store.

        :raises DecryptionError: no key decrypts it, or it belongs to another record.
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
        # A value that is not text is reported as a key that is not valid.
        parts += (text.split() or [""]) if isinstance(text, str) else [""]
    return parts


class _Encrypted(Secret):
    """A secret that is decrypted when it is first revealed, because most secrets never are."""

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
    """The result of a rotation of keys: numbers of records with secrets.

    :ivar encrypted: now encrypted with the first key; before in clear or under another key.
    :ivar current: already encrypted with the first key.
    :ivar failed: with a secret that no key decrypts; unchanged, and reported in the log.
    """

    encrypted: int = 0
    current: int = 0
    failed: int = 0


class EncryptedStore(Store):
    """A store whose secrets are encrypted.

    :param store: the store of the records.
    :param keys: the first key encrypts, all keys decrypt.
    """

    encrypts = True

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self.shared = store.shared
        self.locks = store.locks
        self.keeps_history = store.keeps_history
        self.bulk = store.bulk

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r})"

    def get(self, kind: type[R], id: str) -> R | None:
        record = self._store.get(kind, id)
        return None if record is None else self._decrypted(record)

    def find(self, kind: type[R], *arguments: Any, **options: Any) -> list[R]:
        found = self._store.find(kind, *arguments, **options)
        return [self._decrypted(record) for record in found]

    def query(self, *queries: Query) -> list[list[Any]]:
        answers = self._store.query(*queries)
        return [[self._decrypted(record) for record in answer] for answer in answers]

    def scan(self, kind: type[R], *arguments: Any, **options: Any) -> Iterator[R | DamagedRecord]:
        for found in self._store.scan(kind, *arguments, **options):
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
        # Return the secrets in clear, so that callers do not need to decrypt them again.
        return tuple(
            replace(new, **{field: getattr(old, field) for field in SECRETS[type(old)]})
            for new, old in zip(written, given, strict=True)
        )

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        return self._store.rewrite([self._encrypted(record) for record in records])

    def close(self) -> None:
        self._store.close()

    def rotate(self, report: Listener = ProgressReporter()) -> Rotation:  # noqa: B008 (stateless)
        """Encrypt all secrets that are in clear or under another key with the first key.

        It can be interrupted and run again, and others can use the store at the same time.

        :param report: called with the progress.
        :raises StoreError: the store failed; records that were already rewritten stay so.
        """
        done, checked = Rotation(), 0
        kinds = [kind for kind, fields in SECRETS.items() if fields]
        total = sum(self._store.count(kind) for kind in kinds)
        for kind in kinds:
            records = self._store.iterate(kind)
            while page := list(itertools.islice(records, PAGE)):
                self._rotate(page, done)
                checked += len(page)
                report(Progress(checked, max(total, checked), "records"))
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
                            changes[field] = self._reencrypted(record, field, value)
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
            # Others have written these records since they were read: read them again.
            again = [self._store.get(type(record), record.id) for record in left]
            page = [record for record in again if record is not None]
        done.failed += len(failed)

    def _reencrypted(self, record: Record, field: str, stored: Any) -> Any:
        clear = self._keys.decrypt(record, field, stored) if is_encrypted(stored) else stored
        return self._token(record, field, clear)

    def _token(self, record: Record, field: str, clear: Any) -> Any:
        token = self._keys.encrypt(record, field, clear)
        return Secret(token) if isinstance(getattr(record, field), Secret) else token

    def _encrypted(self, record: R) -> R:
        """The record with encrypted secrets. A secret that no key decrypts stays as it was read."""
        changes = {
            field: self._token(record, field, value)
            for field, value in _secrets(record)
            if value and not is_encrypted(value)
        }
        return replace(record, **changes) if changes else record

    def _decrypted(self, record: R) -> R:
        """The record with the secrets in clear that a key decrypts."""
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
    """The secrets of a record: in clear, or encrypted if no key decrypts them."""
    for field in SECRETS[type(record)]:
        value = getattr(record, field)
        yield field, value.known() if isinstance(value, Secret) else value
