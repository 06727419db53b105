"""The library's objects over the socket of a service, without Cinder and without a store."""
