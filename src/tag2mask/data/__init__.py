"""Photographs and tags in: a table, a folder per class, VOC, COCO, CUB, ImageNet; composed data."""

from tag2mask.data.collection import (
    Collection,
    Data,
    Photo,
    Skipped,
    TrueBoxes,
    TrueInstances,
    Truth,
)
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.read import image_size, read_image, read_tagged, verify
from tag2mask.data.saliency import SaliencyFolder, open_saliency, saliency_source

__all__ = [
    "Collection",
    "Data",
    "DataOptions",
    "Photo",
    "SaliencyFolder",
    "Skipped",
    "TrueBoxes",
    "TrueInstances",
    "Truth",
    "image_size",
    "open_data",
    "open_saliency",
    "read_image",
    "read_tagged",
    "saliency_source",
    "verify",
]
