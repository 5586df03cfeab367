"""Discriminative region suppression: peaks are cut, so that the rest of an object is seen."""

from __future__ import annotations

from tag2mask.methods.drs.method import DRS as DRS
from tag2mask.methods.drs.method import DRSOptions as DRSOptions
