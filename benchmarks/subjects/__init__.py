"""The compared subjects. Each runs in its own process (see ``worker.py``)."""
