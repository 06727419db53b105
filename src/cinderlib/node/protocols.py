"""The connector class of each protocol. For a new protocol, add a module and a line here."""

from __future__ import annotations

import importlib

from cinderlib.errors import Unsupported
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument
from cinderlib.value_checks import shown

_CONNECTORS = {
    "fibre_channel": "cinderlib.node.fibre_channel:FibreChannelConnector",
    "glusterfs": "cinderlib.node.remotefs:RemoteFsConnector",
    "gpfs": "cinderlib.node.brick:BrickConnector",
    "huaweisdshypervisor": "cinderlib.node.brick:BrickConnector",
    "iscsi": "cinderlib.node.iscsi:IscsiConnector",
    "iser": "cinderlib.node.iscsi:IscsiConnector",
    "lightos": "cinderlib.node.brick:BrickConnector",
    "local": "cinderlib.node.local:LocalConnector",
    "nfs": "cinderlib.node.remotefs:RemoteFsConnector",
    "nvme": "cinderlib.node.nvme:NvmeConnector",
    "nvmeof": "cinderlib.node.nvme:NvmeConnector",
    "quobyte": "cinderlib.node.remotefs:RemoteFsConnector",
    "rbd": "cinderlib.node.rbd:RbdConnector",
    "scaleio": "cinderlib.node.brick:BrickConnector",
    "scality": "cinderlib.node.remotefs:RemoteFsConnector",
    "storpool": "cinderlib.node.brick:BrickConnector",
    "vmdk": "cinderlib.node.brick:BrickConnector",
    "vzstorage": "cinderlib.node.remotefs:RemoteFsConnector",
}


def connector(document: ConnectionDocument, settings: HostSettings) -> Connector:
    """The connector for a document.

    :raises Unsupported: this library does not support its protocol.
    :raises InvalidDocument: a field of the connection data is missing or has the wrong type.
    """
    try:
        module, _, name = _CONNECTORS[document.protocol].partition(":")
    except KeyError:
        raise Unsupported(
            f"The protocol {shown(document.protocol)} is not supported; supported: "
            f"{', '.join(sorted(_CONNECTORS))}.",
            resource=document.id,
        ) from None
    kind: type[Connector] = getattr(importlib.import_module(module), name)
    connector = kind(document, settings)
    if document.encryption is None:
        return connector
    from cinderlib.node.encrypted import EncryptedConnector

    return EncryptedConnector(connector, document.encryption)
