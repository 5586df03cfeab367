"""The rooms, one folder per method, and the table that names them."""

from __future__ import annotations

from typing import Any, Final

from tag2mask.method import Method
from tag2mask.methods.cam import CAM
from tag2mask.methods.drs import DRS

METHODS: Final[dict[str, type[Any]]] = {"cam": CAM, "drs": DRS}

__all__ = ["CAM", "DRS", "METHODS", "Method"]
