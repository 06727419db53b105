"""oVirt's managed block storage: what its engine runs for each verb, and its hosts for each attach.

It stands on the public names of the library, and nothing of the library loads it.
"""
