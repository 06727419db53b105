"""The command ``cinderlib``: noun, verb. A module a noun, each loaded when it is used.

It stands on the public names of the library, and nothing of the library loads it.
"""
