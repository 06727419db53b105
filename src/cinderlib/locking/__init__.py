"""Named locks, the identity of a process, and the folders for both."""
