"""Spatial structure constraints on a host: reconstruction and self-modulation."""

from __future__ import annotations

from tag2mask.methods.ssc.method import SSC as SSC
from tag2mask.methods.ssc.method import SSCOptions as SSCOptions
