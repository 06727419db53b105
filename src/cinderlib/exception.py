"""The errors, under the module name that programs for cinderlib 5 import."""

from cinderlib.errors import *  # noqa: F403
