"""The interface of a place for keys outside the store."""

from __future__ import annotations

from typing import Protocol


class KeyManager(Protocol):
    """A place for keys. The text of an instance names it in messages.

    All methods can be called from several threads. They raise
    :class:`~cinderlib.errors.KeyManagerError` with the reason.
    """

    def reserve(self, volume_id: str) -> str:
        """A new ID for the key of a volume. The place does not change.

        It raises an error if the place cannot be used now.
        """

    def put(self, id: str, key: str) -> str:
        """Keep a key durably.

        :param id: a reserved one.
        :returns: the final ID, which can differ.
        """

    def get(self, id: str) -> str:
        """A key, in hexadecimal digits."""

    def delete(self, id: str) -> None:
        """Delete a key, also one whose :meth:`put` was interrupted. It can be missing.

        :param id: the final ID or the reserved one.
        """
