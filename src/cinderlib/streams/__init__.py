"""Streams with the content of a volume, or with its changes since a snapshot."""
