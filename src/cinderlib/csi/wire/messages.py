"""The messages of ``csi.proto``, as classes.

They are in their own descriptor pool: a program that has CSI messages of another package can import
this module too. The types are in ``messages.pyi``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_POOL = descriptor_pool.DescriptorPool()
_compiled = Path(__file__).with_name("csi.binpb").read_bytes()
for _file in descriptor_pb2.FileDescriptorSet.FromString(_compiled).file:
    _POOL.AddSerializedFile(_file.SerializeToString())

#: The description of ``csi.proto``.
DESCRIPTOR: Any = _POOL.FindFileByName("csi.proto")

for _name, _description in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = message_factory.GetMessageClass(_description)
