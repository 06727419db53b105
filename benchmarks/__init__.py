"""Compares cinderlib with cinderlib 5.2.0, the bare driver call and limits: ``make bench``."""
