"""Locks by name, what identifies a process, and the folders for both."""
