"""Fine-grained background on a host: kinds of background as negatives of foreground pixels."""

from __future__ import annotations

from tag2mask.methods.fbr.method import FBR as FBR
from tag2mask.methods.fbr.method import SALIENT as SALIENT
from tag2mask.methods.fbr.method import FBROptions as FBROptions
