"""The service Controller: volumes, snapshots and their connections, through the public API."""
