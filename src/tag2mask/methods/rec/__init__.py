"""REC: a photograph taken apart into masks and images, put together again, and named by tags."""

from __future__ import annotations

from tag2mask.methods.rec.method import REC as REC
from tag2mask.methods.rec.method import RECOptions as RECOptions
