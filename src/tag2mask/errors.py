"""The one exception a user can cause."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one clear sentence: what came, what was expected, what to do. The command line
    prints it without a traceback and leaves with exit code 2.
    """
