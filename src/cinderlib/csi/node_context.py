"""What controllers and nodes agree on."""

#: The key of the connection in the publish context.
CONTEXT = "cinderlib.connection"
