"""The rooms, one folder per method, and the table that names them."""

from __future__ import annotations

from typing import Any, Final

from tag2mask.method import Method
from tag2mask.methods.amn import AMN
from tag2mask.methods.cam import CAM
from tag2mask.methods.drs import DRS
from tag2mask.methods.eps import EPS
from tag2mask.methods.fbr import FBR
from tag2mask.methods.ppc import PPC
from tag2mask.methods.rec import REC
from tag2mask.methods.rtc import RTC
from tag2mask.methods.seam import SEAM
from tag2mask.methods.ssc import SSC

METHODS: Final[dict[str, type[Any]]] = {
    "amn": AMN,
    "cam": CAM,
    "drs": DRS,
    "eps": EPS,
    "fbr": FBR,
    "ppc": PPC,
    "rec": REC,
    "rtc": RTC,
    "seam": SEAM,
    "ssc": SSC,
}

__all__ = [
    "AMN",
    "CAM",
    "DRS",
    "EPS",
    "FBR",
    "METHODS",
    "PPC",
    "REC",
    "RTC",
    "SEAM",
    "SSC",
    "Method",
]
