"""The local service: one warm process that holds a controller and answers on a socket.

A client of the public API, like the command and oVirt's programs; the core does not import it. It
needs ``pip install cinderlib[service]``.
"""
