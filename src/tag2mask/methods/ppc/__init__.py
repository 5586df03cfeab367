"""PPC: SEAM, whose cells are also held to class prototypes across views and within one."""

from __future__ import annotations

from tag2mask.methods.ppc.method import PPC as PPC
from tag2mask.methods.ppc.method import PPCOptions as PPCOptions
