"""Records to JSON and plain data, and back."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cinderlib.records.base import Record
from cinderlib.records.groups import GROUP_KINDS
from cinderlib.records.kinds import KINDS, SECRETS
from cinderlib.records.replication import ReplicationRecord
from cinderlib.records.secret import ENCRYPTED, HIDDEN, Secret

R = TypeVar("R", bound=Record)

_ENCRYPTED = ENCRYPTED.encode()


def _encode_secret(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.known()
    raise NotImplementedError(f"a record cannot contain a {type(value).__name__}")


def _decode_secret(kind: type, value: Any) -> Any:
    return Secret(value)


_encoder = msgspec.json.Encoder(enc_hook=_encode_secret)
# All decoders are built at import: msgspec analyses a type on first use, and two threads that do so
# at the same time crash the process (seen with msgspec 0.22).
_ALL_KINDS: tuple[type[Record], ...] = (*KINDS.values(), *GROUP_KINDS, ReplicationRecord)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind, dec_hook=_decode_secret) for kind in _ALL_KINDS
}


def encode(record: Record) -> bytes:
    """A record as JSON for the store, **with secrets in clear** unless the store encrypted them."""
    return _encoder.encode(record)


def decode(kind: type[R], document: bytes | str) -> R:
    """A record from its JSON.

    Unknown fields are ignored, so that rows written by a newer version can be read.

    :raises msgspec.ValidationError: a field is missing or has the wrong type.
    :raises msgspec.DecodeError: it is not JSON.
    """
    record = typing.cast(R, _decoders[kind].decode(document))
    for field in kind.common:
        text = getattr(record, field)
        if text is not None:
            msgspec.structs.force_setattr(record, field, sys.intern(text))
    if ENCRYPTED in document if isinstance(document, str) else _ENCRYPTED in document:
        for field in SECRETS.get(kind, ()):
            secret = getattr(record, field)
            if isinstance(secret, Secret):
                secret._of = (field, kind.kind, record.id)
    return record


def check_types(record: Record) -> None:
    """Check that a record can be read again once it is stored.

    :raises ValueError: a field has the wrong type; the message does not contain any value.
    """
    try:
        decode(type(record), encode(record))
    except (msgspec.MsgspecError, UnicodeError, NotImplementedError, TypeError) as exc:
        # The message of an encoder's error contains the text that it cannot encode.
        what = exc if isinstance(exc, msgspec.MsgspecError) else type(exc).__name__
        raise ValueError(f"not a valid {record.kind}: {what}") from None


def to_builtins(record: Record, *, secrets: bool = False) -> dict[str, Any]:
    """A record as plain dicts, lists, texts and numbers.

    :param secrets: include the secrets in clear; otherwise they are ``'***'``.
    """

    def hook(value: Any) -> Any:
        if isinstance(value, Secret):
            return value.reveal() if secrets else HIDDEN
        return _encode_secret(value)

    return typing.cast(dict[str, Any], msgspec.to_builtins(record, enc_hook=hook))


def from_builtins(kind: type[R], data: Mapping[str, Any]) -> R:
    """The opposite of :func:`to_builtins` with secrets.

    :raises msgspec.ValidationError: a field is missing or has the wrong type.
    """
    return msgspec.convert(data, kind, dec_hook=_decode_secret)
