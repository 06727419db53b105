"""A demonstration on this machine: ``python -m cinderlib.demo``.

It takes a volume of the embedded driver through its life with real data, and shows at the end that
nothing is left of it. :mod:`cinderlib.demo.story` can be read as an example of the library.
"""

from cinderlib.demo.show import main

__all__ = ["main"]
