"""The embedded driver: volumes are sparse files in a folder of this host."""
