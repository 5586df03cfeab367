"""SEAM: two views of a photograph agree, and cells that look alike share their evidence."""

from __future__ import annotations

from tag2mask.methods.seam.method import SEAM as SEAM
from tag2mask.methods.seam.method import SEAMOptions as SEAMOptions
