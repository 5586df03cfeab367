"""Masks in the folders of VOC, and the package that VOC's evaluation server takes.

The development kit (host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc) has two competitions for
segmentation: comp5 trains on VOC's own training images alone, comp6 on anything but the test
images. Pretrained weights are of other images, so a run here belongs to comp6.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from tag2mask.errors import InputError
from tag2mask.export.labelled import Labelled
from tag2mask.storage import label_bytes, voc_palette, write_bytes, write_text
from tag2mask.types import UNKNOWN

COMPETITION: Final = "comp6"
RESULTS: Final = f"results/VOC2012/Segmentation/{COMPETITION}_test_cls"


def write_voc(folder: Path, classes: Sequence[str], found: Iterable[Labelled], split: str) -> int:
    """Write SegmentationClass/*.png, the list of them and the classes; how many masks there are.

    Masks that are already there with the same bytes are left alone. The list is written last.

    Args:
        split: name of the list in ImageSets/Segmentation.
    """
    ids = []
    for one in found:
        photo = PurePosixPath(one.name).with_suffix("").as_posix()
        path, content = folder / "SegmentationClass" / f"{photo}.png", label_bytes(one.labels)
        if not path.is_file() or path.read_bytes() != content:
            write_bytes(path, content)
        ids.append(photo)
    write_text(folder / "labelmap.txt", labelmap(classes))
    lines = "".join(f"{photo}\n" for photo in ids)
    write_text(folder / "ImageSets" / "Segmentation" / f"{split}.txt", lines)
    return len(ids)


def labelmap(classes: Sequence[str]) -> str:
    """Names and colours, a label a line, as CVAT and Datumaro read VOC's masks."""
    names = ("background", *classes)
    rows = zip(names, voc_palette().tolist(), strict=False)
    lines = [f"{name}:{red},{green},{blue}::\n" for name, (red, green, blue) in rows]
    return "# label:color_rgb:parts:actions\n" + "".join(lines)


def pack_voc_server(path: Path, found: Iterable[Labelled]) -> int:
    """Write the .tar.gz that VOC's server takes, whole or not at all; how many masks there are.

    The same masks make the same bytes: there is no time in it.

    Raises:
        InputError: a mask with unknown pixels, which the server does not take.
    """
    stream, count = io.BytesIO(), 0
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for one in found:
            if (one.labels == UNKNOWN).any():
                raise InputError(
                    f"The mask of {one.name} has unknown pixels, which VOC's server does not take; "
                    "send predictions (--what test)."
                )
            content = label_bytes(one.labels)
            entry = tarfile.TarInfo(f"{RESULTS}/{PurePosixPath(one.name).stem}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
            count += 1
    write_bytes(path, stream.getvalue())
    return count
