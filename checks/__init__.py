"""Runs the checks of a change, and chooses the part of the slow ones that a commit runs.

Continuous integration and ``make everything`` run ``python -m checks``. It needs the standard
library only, since it runs before the environment of the tests exists. The exception is
``selection``, a plugin of pytest.
"""
