"""A demonstration on this machine: ``python -m cinderlib.demo``.

It runs a volume of the driver ``file`` through its life with real data, and checks at the end that
there are no leftovers. :mod:`cinderlib.demo.story` is also an example of the library.
"""

from cinderlib.demo.show import main

__all__ = ["main"]
