"""Photographs and tags in: a table, a folder per class, VOC, COCO, CUB, ImageNet; composed data."""

from tag2mask.data.collection import Collection, Data, Photo, Skipped, TrueBoxes, Truth
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.read import image_size, read_image, read_tagged, verify

__all__ = [
    "Collection",
    "Data",
    "DataOptions",
    "Photo",
    "Skipped",
    "TrueBoxes",
    "Truth",
    "image_size",
    "open_data",
    "read_image",
    "read_tagged",
    "verify",
]
