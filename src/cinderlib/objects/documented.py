"""The document of an object in the forms that programs for cinderlib 5 use."""

from __future__ import annotations

from typing import Any, cast

from cinderlib import serialization


class Documented:
    """An object that has a document, which ``load`` reads."""

    def _document(self, *, related: bool) -> serialization.Document:
        """:param related: include the objects that belong to it."""
        raise NotImplementedError

    @property
    def json(self) -> dict[str, Any]:
        """A document for ``load`` of this object alone, **with its secrets**."""
        return _plain(self._document(related=False))

    @property
    def jsons(self) -> str:
        """:attr:`json` as text."""
        return serialization.to_text(self._document(related=False))

    @property
    def dump(self) -> dict[str, Any]:
        """A document for ``load`` of this object and the objects that belong to it, **with their
        secrets**."""
        return _plain(self._document(related=True))

    @property
    def dumps(self) -> str:
        """:attr:`dump` as text."""
        return serialization.to_text(self._document(related=True))


def _plain(document: serialization.Document) -> dict[str, Any]:
    return cast(dict[str, Any], serialization.to_builtins(document))
