"""Stage 5: decide every pixel."""

from __future__ import annotations

from tag2mask.masks.background import alpha_level as alpha_level
from tag2mask.masks.blind import PeakHistogram as PeakHistogram
from tag2mask.masks.blind import blind_level as blind_level
from tag2mask.masks.blind import mean_level as mean_level
from tag2mask.masks.blind import otsu as otsu
from tag2mask.masks.blind import raised_mean as raised_mean
from tag2mask.masks.blind import valley as valley
from tag2mask.masks.decide import threshold as threshold
from tag2mask.masks.options import MaskOptions as MaskOptions
