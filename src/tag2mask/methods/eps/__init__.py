"""EPS: maps of the tags and of the background explain what stands out."""

from __future__ import annotations

from tag2mask.methods.eps.method import EPS as EPS
from tag2mask.methods.eps.method import EPSOptions as EPSOptions
