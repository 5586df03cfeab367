"""Stage 2: the one training loop, its schedule, its batches and its checkpoints."""

from __future__ import annotations

from tag2mask.train.batches import instance_batches as instance_batches
from tag2mask.train.batches import mask_batches as mask_batches
from tag2mask.train.batches import prefetch as prefetch
from tag2mask.train.batches import tag_batches as tag_batches
from tag2mask.train.loop import fit as fit
from tag2mask.train.options import TrainOptions as TrainOptions
from tag2mask.train.options import resolved as resolved
