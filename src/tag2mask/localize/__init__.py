"""Stage 3: multi-scale activation maps out of a trained method."""

from __future__ import annotations

from tag2mask.localize.folded import folded as folded
from tag2mask.localize.maps import merge as merge
from tag2mask.localize.maps import responses as responses
from tag2mask.localize.options import LocalizeOptions as LocalizeOptions
