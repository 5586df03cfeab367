"""Stage 4: let the maps follow the picture."""

from __future__ import annotations

from tag2mask.refine.contract import Refiner as Refiner
from tag2mask.refine.par import PAR as PAR
from tag2mask.refine.par import PAROptions as PAROptions
