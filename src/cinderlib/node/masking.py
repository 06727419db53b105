"""Removes keys from messages of other programs before an error is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SECRET_NAMES = ("password", "keyring", "secret", "token", "private_key")
#: Fields that only refer to a key. Hiding values such as "ceph" would make messages useless.
_NO_SECRETS = frozenset({"secret_type", "secret_uuid"})


def secrets(data: Any) -> frozenset[str]:
    """All texts in fields whose names mark them as secret."""
    return frozenset(text for text in _secrets(data, below=False) if len(text) > 3)


def mask(text: str, hidden: frozenset[str]) -> str:
    """The text without the keys."""
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def scrub(error: BaseException, hidden: frozenset[str]) -> None:
    """Remove the keys from an error and from its causes."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        found.args = tuple(mask(a, hidden) if isinstance(a, str) else a for a in found.args)
        for name, value in vars(found).items():
            if isinstance(value, str):
                setattr(found, name, mask(value, hidden))
        found = found.__cause__ or found.__context__


def _secrets(value: Any, *, below: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            secret = (
                isinstance(name, str)
                and name not in _NO_SECRETS
                and any(s in name.lower() for s in _SECRET_NAMES)
            )
            yield from _secrets(inner, below=below or secret)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner, below=below)
    elif below and isinstance(value, str):
        yield value
        # A keyring contains its key on a separate line.
        yield from (word for word in value.split() if len(word) > 20)
