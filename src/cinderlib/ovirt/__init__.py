"""The programs for oVirt's managed block storage: one for its engine and one for its hosts.

They only use the public names of the library, and the library does not import them.
"""
