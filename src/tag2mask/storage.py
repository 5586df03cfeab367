"""Files that are either whole or not there.

Every write goes to a temporary name in the same folder and is renamed: after a crash at any
moment a reader finds the old file or the new one, never half of one. Arrays are safetensors,
label maps palette PNGs in VOC colours, the rest JSON or JSONL; never pickle.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from tag2mask.errors import BROKEN, InputError
from tag2mask.types import Instances


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: the file is not there or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}).") from None


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors, whole or not at all."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, dict(notes) if notes else None))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from safetensors.

    Raises:
        InputError: the file is not there or is damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read ({error}); remove its folder from the run and run the same "
            "`tag2mask fit` again."
        ) from None


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """The 256 colours of VOC: bit b of a label decides bit 7 − b // 3 of channel b mod 3."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for shift in range(8):
        for channel in range(3):
            bit = (labels >> (3 * shift + channel)) & 1
            colours[:, channel] |= (bit << (7 - shift)).astype(np.uint8)
    return colours


def write_labels(path: Path, labels: UInt8[Tensor, "H W"]) -> None:
    """Write a label map as a palette PNG in VOC colours; pixel values are the labels."""
    write_bytes(path, label_bytes(labels.cpu().numpy()))


def label_bytes(labels: UInt8[np.ndarray, "H W"]) -> bytes:
    """A label map as a palette PNG in VOC colours."""
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette(voc_palette().tobytes())
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=False)
    return stream.getvalue()


def write_instances(path: Path, found: Instances) -> None:
    """Write the objects of a photograph as JSON, whole or not at all."""
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.runs, strict=True)
    objects = [{"label": c, "score": score, "counts": runs.decode()} for c, score, runs in rows]
    write_json(path, {"id": found.id, "size": list(found.size), "objects": objects})


def read_instances(path: Path) -> Instances:
    """Read what `write_instances` wrote.

    Raises:
        InputError: not there, or not JSON.
    """
    stored = read_json(path)
    objects, (height, width) = stored["objects"], stored["size"]
    return Instances(
        stored["id"],
        torch.tensor([one["label"] for one in objects], dtype=torch.int64),
        tuple(one["counts"].encode() for one in objects),
        torch.tensor([one["score"] for one in objects], dtype=torch.float64),
        (height, width),
    )


def write_picture(path: Path, image: UInt8[Tensor, "3 H W"]) -> None:
    """Write a picture as JPEG, whole or not at all."""
    stream = io.BytesIO()
    picture = Image.fromarray(image.cpu().permute(1, 2, 0).contiguous().numpy())
    picture.save(stream, format="JPEG", quality=90)
    write_bytes(path, stream.getvalue())


def read_labels(path: Path) -> UInt8[Tensor, "H W"]:
    """Read a label map from an indexed or a grey 8-bit PNG; pixel values are the labels.

    Raises:
        InputError: not there, not a picture, or a colour picture (which holds no labels).
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise InputError(
                    f"The mask {path} is a {picture.mode} picture; expected an indexed or grey "
                    "8-bit PNG whose pixel values are the labels. Save it with its palette."
                )
            values = np.array(picture, dtype=np.uint8)
    except FileNotFoundError:
        raise InputError(f"The mask {path} is not there.") from None
    except BROKEN as error:
        raise InputError(f"The mask {path} cannot be read ({error}).") from None
    return torch.from_numpy(values)
