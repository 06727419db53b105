"""Processes of the service that run programs for clients: they have imported what the program
needs, and fork for each client.

A copy takes over the client's user, folder, environment and standard streams, and has exactly the
rights of that user. It must not find in its memory what the user may not read, because a driver of
the user's choice runs in it. Therefore these processes are separate programs, without the
service's configuration and environment, and only the copies read the clients' requests.
"""
