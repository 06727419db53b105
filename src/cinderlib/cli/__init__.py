"""The command ``cinderlib``: nouns and verbs. Each noun is a module that is loaded when it is used.

The command only uses the public names of the library, and the library does not import the command.
"""
