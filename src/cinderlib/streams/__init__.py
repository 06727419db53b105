"""Streams with the content of a volume, or with its changes since a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

# ruff: noqa: F401
if TYPE_CHECKING:
    import cinderlib.streams.copying
    import cinderlib.streams.device
    import cinderlib.streams.format
else:
    from cinderlib import first_use

    __getattr__ = first_use.attributes(__name__, {})
