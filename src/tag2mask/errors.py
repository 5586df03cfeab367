"""The one exception a user can cause."""

from __future__ import annotations

from typing import Final

from PIL import Image

BROKEN: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises where a file holds no picture, half of one, or far too large a one."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one clear sentence: what came, what was expected, what to do. The command line
    prints it without a traceback and leaves with exit code 2.
    """
