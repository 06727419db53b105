"""The type of secrets in records."""

from __future__ import annotations

from typing import Any

from cinderlib.errors import DecryptionError

#: The prefix of values that the store has encrypted (:mod:`cinderlib.persistence.encryption`).
ENCRYPTED = "cinderlib:encrypted:"
#: Replaces a secret in output.
HIDDEN = "***"


def is_encrypted(value: Any) -> bool:
    """Whether a stored value is encrypted."""
    return isinstance(value, str) and value.startswith(ENCRYPTED)


def undecryptable(field: str, kind: str = "", id: str = "") -> DecryptionError:
    """The error for a secret that cannot be decrypted; it names the record if that is known."""
    of = f" of {kind.replace('_', '-')} {id!r}" if kind else ""
    return DecryptionError(
        f"The {field}{of} is encrypted, and the store was opened without the key that decrypts it."
        " Add that key to encryption_keys",
        resource=id or None,
    )


class Secret:
    """A JSON value that must not appear in a repr, a log line, an error or a listing.

    Only :meth:`reveal` returns the value, so all code that handles it in clear is easy to find.
    """

    __slots__ = ("_of", "_value")

    def __init__(self, value: Any) -> None:
        self._value: Any = value.reveal() if isinstance(value, Secret) else value
        # Field, kind and ID of the record, if the value came encrypted from a store.
        self._of: tuple[str, ...] = ("secret",)

    def reveal(self) -> Any:
        """The value, in clear.

        :raises DecryptionError: it came encrypted from the store, and none of the store's keys
            decrypts it.
        """
        if is_encrypted(self._value):
            raise undecryptable(*self._of)
        return self._value

    def known(self) -> Any:
        """The value in clear, or the encrypted value if it could not be decrypted."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret(None)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.known() == other.known()

    def __hash__(self) -> int:
        return hash(repr(self.known()))
