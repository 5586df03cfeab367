"""A saliency model from a file: ONNX, or TorchScript."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.types import Size

MEAN: Final = (123.675, 116.28, 103.53)  # ImageNet, as saliency models are trained
DEVIATION: Final = (58.395, 57.12, 57.375)
SLACK: Final = 1e-3  # beyond 0 … 1; half precision
Network = Callable[[Tensor], Tensor]


class SaliencyModel:
    """What stands out in a photograph, by a network that the user gives.

    The photograph is brought to the model's size and normalised with ImageNet's mean and deviation;
    the first output is the saliency, 0 … 1, one channel.

    Args:
        path: .onnx (with onnxruntime) or TorchScript.
        side: of the square in pixels, where the model does not fix its size itself.

    Raises:
        InputError: the file holds no such model, or onnxruntime is not installed.
    """

    def __init__(self, path: Path, side: int) -> None:
        self.path = path
        known = hashlib.sha256(path.read_bytes())
        open_model = _onnx if path.suffix.lower() == ".onnx" else _script
        self.network, fixed = open_model(path)
        self.size = fixed or (side, side)
        known.update(repr(self.size).encode())
        self.fingerprint = known.hexdigest()

    def __call__(self, image: UInt8[Tensor, "3 H W"]) -> Float[Tensor, "h w"]:
        """Saliency, 0 … 1, on the grid of the model's output, which covers the photograph.

        Raises:
            InputError: the model fails, or puts out something else.
        """
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
        square = functional.interpolate(
            image[None].float(), self.size, mode="bilinear", antialias=True
        )
        try:
            found = self.network((square - mean) / deviation)
        except Exception as error:  # whatever a foreign network raises
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"The saliency model {self.path} fails on a photograph of {self.size[0]} × "
                f"{self.size[1]} pixels ({reason}); give its side with --saliency-side."
            ) from None
        return self._checked(found)

    def _checked(self, found: Tensor) -> Float[Tensor, "h w"]:
        shape = tuple(found.shape)
        if found.ndim < 2 or found.numel() != shape[-1] * shape[-2]:
            raise InputError(
                f"The saliency model {self.path} puts out the shape {shape} for one photograph; "
                "expected one number a pixel, 1 × 1 × h × w, as its first output."
            )
        values = found.reshape(shape[-2:]).float()
        low, high = float(values.min()), float(values.max())
        if not -SLACK <= low <= high <= 1 + SLACK:  # also where not a number came
            raise InputError(
                f"The saliency model {self.path} puts out numbers from {low:.3g} to {high:.3g}; "
                "expected 0 to 1. Export it with its sigmoid."
            )
        return values.clamp(0, 1)


def _script(path: Path) -> tuple[Network, Size | None]:
    try:
        with warnings.catch_warnings():  # what people have is TorchScript, whatever follows it
            warnings.filterwarnings("ignore", message=".*torch.jit")
            network: Any = torch.jit.load(path, map_location="cpu").eval()  # type: ignore
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"The saliency model {path} is no TorchScript ({reason}); save it with "
            "torch.jit.save(torch.jit.script(model), FILE), or export it to ONNX."
        ) from None

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            return _first(network(images))

    return run, None


def _onnx(path: Path) -> tuple[Network, Size | None]:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        raise InputError(
            f"The saliency model {path} needs onnxruntime, which is not installed: pip install "
            "'tag2mask[onnx]', or give a folder of grey PNG files."
        ) from None
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"The saliency model {path} is no ONNX network ({reason}).") from None
    entry = session.get_inputs()[0]
    extents = [extent for extent in entry.shape[2:] if isinstance(extent, int)]

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {entry.name: images.numpy()})[0])

    return run, (extents[0], extents[1]) if len(extents) == 2 else None


def _first(found: Any) -> Tensor:
    """The first output of several."""
    while not isinstance(found, Tensor):
        found = found[0] if isinstance(found, list | tuple) else next(iter(found.values()))
    return found
