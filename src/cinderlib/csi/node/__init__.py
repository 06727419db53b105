"""The service Node: devices, filesystems and mounts of this host."""
