"""Pre-annotations for CVAT: "CVAT for images 1.1", and the labels of its task.

Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat and xml_format. A mask is a
box (left, top, width, height) and the run lengths of its rows one after another, zeros first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool

from tag2mask.export.labelled import Labelled, runs
from tag2mask.storage import voc_palette, write_json, write_text

VERSION: Final = "1.1"


def write_cvat(path: Path, classes: Sequence[str], found: Iterable[Labelled]) -> int:
    """Write annotations as XML and, beside them, the labels as JSON; how many masks there are.

    Args:
        path: of the annotations, .xml; the labels' is the same with -labels.json. They are pasted
            into "Raw" where a task is made, for CVAT refuses annotations of unknown labels.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = VERSION
    masks = 0
    for number, one in enumerate(found):
        height, width = one.size
        about = {"id": str(number), "name": one.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", about)
        for label in one.present():
            box = mask_of(one.labels == label)
            given = {"label": classes[label - 1], "source": "auto", "occluded": "0"}
            ElementTree.SubElement(image, "mask", {**given, **box, "z_order": "0"})
            masks += 1
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    write_json(path.with_name(f"{path.stem}-labels.json"), labels(classes))
    write_text(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    return masks


def labels(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes as CVAT's label constructor takes them, in VOC colours."""
    colours = voc_palette()[1:].tolist()
    return [
        {"name": name, "color": f"#{r:02x}{g:02x}{b:02x}", "type": "mask", "attributes": []}
        for name, (r, g, b) in zip(classes, colours, strict=False)
    ]


def mask_of(mask: Bool[np.ndarray, "H W"]) -> dict[str, str]:
    """The attributes of a mask that has a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    return {
        "rle": ", ".join(str(length) for length in runs(inside.ravel())),
        "left": str(left),
        "top": str(top),
        "width": str(inside.shape[1]),
        "height": str(inside.shape[0]),
    }
