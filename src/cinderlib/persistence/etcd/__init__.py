"""Records in etcd, for clusters that have no database server."""

from cinderlib.persistence.etcd.store import EtcdStore
from cinderlib.persistence.etcd.versions import layout_versions

__all__ = ["EtcdStore", "layout_versions"]
