"""A trained network as one ONNX file: bytes of photographs in, labels and probabilities out."""

from __future__ import annotations

import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from tag2mask.errors import InputError
from tag2mask.storage import voc_palette, write_bytes

OPSET: Final = 17
CELL: Final = 32  # networks of segmentation-models-pytorch take multiples of it
INPUT: Final = "images"
OUTPUTS: Final = ("labels", "probabilities")
NEEDED: Final = ("onnx", "onnxruntime")
TRACED: Final = (2, 3, 64, 96)  # a batch by which the graph is written down
CHECKED: Final = ((1, 3, 96, 64), (3, 3, 75, 130))  # batches by which it is compared
AGREEMENT: Final = 0.999  # of the pixels at least must have the network's label

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Written:
    """An ONNX file, and how it compares with the network that it was made of.

    Attributes:
        agreement: share of pixels with equal labels, on random pictures of two sizes.
    """

    path: Path
    bytes: int
    agreement: float


class Graph(nn.Module):
    """What the file holds: the network at the nearest sides that it takes, brought back.

    Photographs are brought to H', W' (multiples of 32, as `tag2mask predict` does), and the
    probabilities back to H, W, both bilinear. Normalisation is the network's own.

    Args:
        network: owns the layers.
        logits: what to ask, as a function of images on 0 … 255.
    """

    def __init__(self, network: nn.Module, logits: Logits) -> None:
        super().__init__()
        self.network = network
        self.logits = logits

    def forward(
        self, images: UInt8[Tensor, "B 3 H W"]
    ) -> tuple[UInt8[Tensor, "B H W"], Float[Tensor, "B L H W"]]:
        """Labels, and the probability of each.

        Args:
            images: RGB.
        """
        height, width = images.shape[2], images.shape[3]
        size = (nearest(height), nearest(width))
        views = functional.interpolate(images.float(), size, mode="bilinear", align_corners=False)
        cells = self.logits(views).float().softmax(dim=1)
        probabilities = functional.interpolate(
            cells, (height, width), mode="bilinear", align_corners=False
        )
        best: Int64[Tensor, "B H W"] = probabilities.argmax(dim=1)
        return best.to(torch.uint8), probabilities


def nearest(side: Any) -> Any:
    """The multiple of 32 that is nearest, 32 at least; of two the even one, as `round` has it.

    In whole numbers alone, so that a graph can hold it.
    """
    lower = side // CELL
    rounded = (side + CELL // 2 - 1 + lower % 2) // CELL * CELL
    small = (CELL * 2 - 1 - rounded) // (CELL * 2 - 1)  # 1 where nothing is left, else 0 or less
    return rounded + CELL * (small + abs(small)) // 2


def write_onnx(
    path: Path, network: nn.Module, logits: Logits, classes: Sequence[str], side: int
) -> Written:
    """Write a network as ONNX and compare the file with it; whole or not at all.

    `images` is uint8 B × 3 × H × W of any B, H and W; `labels` is uint8 B × H × W,
    `probabilities` float B × L × H × W. The file's properties hold the classes, the palette and the
    side.

    Args:
        side: pixels of the long side at which the network was trained.

    Raises:
        InputError: onnx or onnxruntime is not installed, or the network cannot be written so.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX files need {' and '.join(missing)}: pip install 'tag2mask[onnx]', then run the "
            "same command again."
        )
    graph = Graph(network.cpu(), logits).to(memory_format=torch.contiguous_format).eval()
    content = with_properties(traced(graph), properties(classes, side))
    agreement = min(compared(content, graph, size) for size in CHECKED)
    if agreement < AGREEMENT:
        raise InputError(
            f"The ONNX graph agrees with the network on {agreement:.1%} of the pixels at other "
            "sizes: this backbone or method cannot be exported for any size. Use tag2mask predict."
        )
    write_bytes(path, content)
    return Written(path, len(content), agreement)


def traced(graph: Graph) -> bytes:
    """The graph as ONNX, all sizes open."""
    images, stream = random_images(TRACED), io.BytesIO()
    places = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # what is constant in a trace is compared afterwards
        torch.onnx.export(
            graph,
            (images,),
            stream,  # type: ignore[arg-type]
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={
                INPUT: places,
                OUTPUTS[0]: {0: "batch", 1: "height", 2: "width"},
                OUTPUTS[1]: places,
            },
            opset_version=OPSET,
            dynamo=False,  # symbolic shapes of padded backbones take it an hour
        )
    return stream.getvalue()


def properties(classes: Sequence[str], side: int) -> dict[str, str]:
    """What a reader of the file wants to know, as text."""
    palette = voc_palette()[: len(classes) + 1].tolist()
    return {
        "classes": json.dumps(["background", *classes], ensure_ascii=False),
        "palette": json.dumps(palette),
        "long_side": str(side),
        "input": "uint8 RGB, batch x 3 x height x width, any sizes; best at long_side",
    }


def with_properties(content: bytes, about: dict[str, str]) -> bytes:
    """The same model with properties."""
    import onnx

    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, about)
    model.producer_name = "tag2mask"
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


def compared(content: bytes, graph: Graph, shape: tuple[int, ...]) -> float:
    """Share of pixels with equal labels on random pictures."""
    import onnxruntime

    images = random_images(shape)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (ours,) = session.run([OUTPUTS[0]], {INPUT: images.numpy()})
    with torch.no_grad():
        theirs, _ = graph(images)
    return float((torch.from_numpy(ours) == theirs).double().mean())


def random_images(shape: tuple[int, ...]) -> UInt8[Tensor, "B 3 H W"]:
    """Coloured patches: of noise alone a network may make one label."""
    draw = torch.Generator().manual_seed(0)
    count, channels, height, width = shape
    coarse = torch.rand(count, channels, height // 16 + 1, width // 16 + 1, generator=draw)
    fine = torch.rand(shape, generator=draw)
    patches = functional.interpolate(coarse, (height, width), mode="nearest")
    return ((0.7 * patches + 0.3 * fine) * 255).byte()
