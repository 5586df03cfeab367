"""What a person says about their photographs and tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DataOptions:
    """Where photographs, tags and (for scoring only) true masks are."""

    photos: Path
    """Folder of photographs, or of VOC, COCO, CUB-200-2011 or ImageNet as unpacked."""
    tags: Path | None = None
    """Table of tags (CSV), COCO's JSON, or VOC's cls_labels.npy."""
    format: Literal["auto", "csv", "folders", "voc", "coco", "cub", "imagenet"] = "auto"
    """How the data are laid out; "auto" detects it."""
    classes: Path | None = None
    """Text file with a class a line, in the order of the labels."""
    separator: str | None = None
    """What stands between the tags of a photograph in the table; detected where not given."""
    split: str | None = None
    """Photographs to train on: a text file of ids, or the name of a split."""
    test_split: str | None = None
    """Photographs held out for scoring: a text file of ids, or the name of a split."""
    truth: Path | None = None
    """Folder of true masks; for scoring only."""
    saliency: Path | None = None
    """What stands out in each photograph: a folder of grey PNG files named like the photographs, or
    a model (.onnx, or TorchScript .pt) that makes them. More supervision than tags (I+S)."""
    saliency_side: int = 320
    """Pixels of the square that a saliency model takes, where it does not fix that (U²-Net)."""
    skip_bad: bool = False
    """Leave out broken photographs and rows that do not fit, and count them, instead of ending."""
