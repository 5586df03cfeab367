"""Pre-annotations for Label Studio: tasks whose predictions are brush strokes, and the set-up.

Label Studio packs a brush's RGBA bytes, four equal ones a pixel, with thi.ng's rle-pack
(https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack), a stream of bits:

    32 bits   how many bytes are packed
     5 bits   bits of one of them, less 1
    4 × 4     bits of the four classes of run lengths, less 1 each
    then for every run:
     1 bit    1: a run of one value (0, values one by one, is never written here)
     2 bits   the class of its length
     m bits   its length, less 1
     8 bits   its value

Format of a task: https://labelstud.io/guide/predictions, of a brush: labelstud.io/tags/brushlabels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool

from tag2mask.export.labelled import Labelled, runs
from tag2mask.storage import voc_palette, write_text

WORD: Final = 8  # bits of a packed value
LENGTHS: Final = (3, 4, 8, 16)  # bits of the run lengths' classes; rle-pack's own
CHANNELS: Final = 4  # RGBA
BRUSH, IMAGE = "tag", "image"  # names that tasks and set-up share
LOCAL: Final = "/data/local-files/?d="  # where Label Studio serves files of its own machine


def write_label_studio(
    path: Path, classes: Sequence[str], found: Iterable[Labelled], url: str = LOCAL
) -> int:
    """Write tasks with predictions and, beside them, the set-up as XML; how many tasks there are.

    Args:
        path: of the tasks, .json; the set-up's is the same with .xml.
        url: what stands before every file name, which is appended quoted.
    """
    tasks = [json.dumps(_task(classes, one, url), separators=(",", ":")) for one in found]
    write_text(path.with_suffix(".xml"), setup(classes))
    write_text(path, "[\n" + ",\n".join(tasks) + "\n]\n")  # a line a task: brushes are long lists
    return len(tasks)


def setup(classes: Sequence[str]) -> str:
    """The labelling configuration that the tasks fit: one brush a class, in VOC colours."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true")
    brushes = ElementTree.SubElement(view, "BrushLabels", name=BRUSH, toName=IMAGE)
    for name, (red, green, blue) in zip(classes, voc_palette()[1:].tolist(), strict=False):
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        ElementTree.SubElement(brushes, "Label", value=name, background=colour)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(classes: Sequence[str], one: Labelled, url: str) -> dict[str, Any]:
    height, width = one.size
    result = [
        {
            "id": f"class-{label}",
            "type": "brushlabels",
            "from_name": BRUSH,
            "to_name": IMAGE,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": pack(one.labels == label),
                "brushlabels": [classes[label - 1]],
            },
        }
        for label in one.present()
    ]
    return {
        "data": {IMAGE: url + quote(one.name)},
        "predictions": [{"model_version": "tag2mask", "result": result}],
    }


def pack(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """A mask as a brush's bytes."""
    lengths = CHANNELS * runs(mask.ravel())
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    longest = 1 << LENGTHS[-1]
    pieces = -(-lengths // longest)  # a longer run becomes several; none of one of length 0
    values = np.repeat(values, pieces)
    pieced = np.full(len(values), longest)
    ends = np.cumsum(pieces)[pieces > 0] - 1
    pieced[ends] = (lengths - (pieces - 1) * longest)[pieces > 0]
    head = [(CHANNELS * mask.size, 32), (WORD - 1, 5), *((bits - 1, 4) for bits in LENGTHS)]
    numbers, bits = (np.array(column, dtype=np.int64) for column in zip(*head, strict=True))
    body, body_bits = _words(pieced, values)
    return _stream(np.concatenate([numbers, body]), np.concatenate([bits, body_bits]))


def _words(
    lengths: npt.NDArray[np.int64], values: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every run as one number, and how many bits it has."""
    sizes = np.array(LENGTHS)
    kinds = np.searchsorted(1 << sizes, lengths)
    bits = sizes[kinds]
    words = ((((1 << 2) | kinds) << bits) | (lengths - 1)) << WORD | values
    return words, 1 + 2 + bits + WORD


def _stream(numbers: npt.NDArray[np.int64], bits: npt.NDArray[np.int64]) -> list[int]:
    """Numbers of so many bits one after another, highest bit first, as bytes."""
    places = bits.max() - 1 - np.arange(bits.max())
    flags = (numbers[:, None] >> places) & 1
    stream = flags[places < bits[:, None]]
    return np.packbits(stream.astype(np.uint8)).tolist()
