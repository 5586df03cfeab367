"""Stage 9: what other programs read."""

from tag2mask.export.coco import write_coco_boxes as write_coco_boxes
