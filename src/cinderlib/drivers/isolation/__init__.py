"""Drivers in host separate processes: they can crash, leak or block without harm to others.

The backend's option ``isolation='process'`` selects it. This package imports Cinder in the host
process only.
"""
