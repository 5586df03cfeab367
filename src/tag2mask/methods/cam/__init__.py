"""Class activation maps: the baseline that every method here stands on."""

from __future__ import annotations

from tag2mask.methods.cam.method import CAM as CAM
from tag2mask.methods.cam.method import CAMOptions as CAMOptions
