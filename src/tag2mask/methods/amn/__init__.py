"""AMN: labels for every cell, learnt from the seeds of a classifier trained first."""

from __future__ import annotations

from tag2mask.methods.amn.method import AMN as AMN
from tag2mask.methods.amn.method import AMNOptions as AMNOptions
