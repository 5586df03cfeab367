"""Photographs and tags in: a folder with a table, a folder per class, VOC, COCO; composed data."""

from tag2mask.data.collection import Collection, Data, Photo, Skipped, Truth
from tag2mask.data.open import open_data
from tag2mask.data.options import DataOptions
from tag2mask.data.read import image_size, read_image, read_tagged, verify

__all__ = [
    "Collection",
    "Data",
    "DataOptions",
    "Photo",
    "Skipped",
    "Truth",
    "image_size",
    "open_data",
    "read_image",
    "read_tagged",
    "verify",
]
