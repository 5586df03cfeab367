"""The ONNX file does what the network does, at any size, for a network and for a single stage."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.export import graph
from tag2mask.export.graph import Graph, nearest, random_images, write_onnx
from tag2mask.methods.rtc import RTC, RTCOptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.segment import Segmenter, SegmentOptions
from tag2mask.storage import voc_palette

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("red", "blüe")
SIZES = ((1, 3, 64, 96), (2, 3, 131, 70), (1, 3, 20, 45))
Asked = Callable[[Tensor], Tensor]


def segmenter() -> tuple[nn.Module, Asked]:
    network = Segmenter(SegmentOptions(), BackboneOptions(), len(CLASSES) + 1).eval()
    return network, network


def single_stage() -> tuple[nn.Module, Asked]:
    method = RTC(RTCOptions(), Backbone(BackboneOptions()), len(CLASSES)).eval()
    nn.init.normal_(method.decoder.classifier.weight)  # labels that differ
    return method, method.segment


@contextlib.contextmanager
def untyped() -> Iterator[None]:
    """In a trace, sizes are tensors, which no annotation expects."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module", params=[segmenter, single_stage])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Graph]:
    torch.manual_seed(0)
    network, logits = request.param()
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    with untyped():
        done = write_onnx(path, network, logits, CLASSES, 160)
    assert done.agreement >= 0.999
    assert done.bytes == path.stat().st_size
    return path, Graph(network, logits)


def photographs(shape: tuple[int, ...]) -> Tensor:
    """Smooth discs over gradients."""
    count, _, height, width = shape
    y, x = np.mgrid[:height, :width]
    gradient = np.stack([x * 255 / width, y * 255 / height, (x + y) % 256])
    gradient[0, (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 3) ** 2] = 220
    return torch.from_numpy(np.tile(gradient[None], (count, 1, 1, 1)).astype(np.uint8))


@pytest.mark.parametrize("make", [random_images, photographs])
@pytest.mark.parametrize("shape", SIZES)
def test_labels_are_the_networks(
    written: tuple[Path, Graph], make: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...]
) -> None:
    path, network = written
    images = make(shape)
    session = onnxruntime.InferenceSession(path)
    labels, probabilities = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        expected, scores = network(images)
    assert labels.dtype == np.uint8
    assert probabilities.shape == (shape[0], len(CLASSES) + 1, *shape[2:])
    assert (labels == expected.numpy()).mean() >= 0.999
    assert np.abs(probabilities - scores.numpy()).max() < 1e-3
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_more_than_one_label_is_compared(written: tuple[Path, Graph]) -> None:
    session = onnxruntime.InferenceSession(written[0])
    labels, _ = session.run(None, {"images": random_images((2, 3, 131, 70)).numpy()})
    assert len(np.unique(labels)) > 1


def test_the_file_says_what_it_is(written: tuple[Path, Graph]) -> None:
    session = onnxruntime.InferenceSession(written[0])
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", 3, "height", "width"]
    assert [one.name for one in session.get_outputs()] == ["labels", "probabilities"]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["background", *CLASSES]
    assert json.loads(about["palette"]) == voc_palette()[:3].tolist()
    assert about["long_side"] == "160"
    assert {o.version for o in onnx.load(written[0]).opset_import if not o.domain} == {17}


def test_the_example_runs_without_tag2mask(written: tuple[Path, Graph], tmp_path: Path) -> None:
    photo, mask = tmp_path / "photo.jpg", tmp_path / "mask.png"
    turned = Image.fromarray(photographs((1, 3, 90, 200))[0].permute(1, 2, 0).numpy())
    exif = turned.getexif()
    exif[0x0112] = 6  # upright, it is 90 wide and 200 high
    turned.save(photo, exif=exif)
    example = ROOT / "examples" / "run_onnx.py"
    text = example.read_text(encoding="utf-8")
    assert "import tag2mask" not in text
    assert "torch" not in text
    words = [sys.executable, str(example), str(written[0]), str(photo), str(mask)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    with Image.open(mask) as picture:
        assert (picture.mode, picture.size) == ("P", (90, 200))
        assert picture.getpalette()[:9] == voc_palette()[:3].ravel().tolist()
        names = [("background", *CLASSES)[label] for label in np.unique(np.asarray(picture))]
    assert done.stdout.strip() == str(names)


def test_the_guide_shows_the_example_as_it_is() -> None:
    text = (ROOT / "examples" / "run_onnx.py").read_text(encoding="utf-8")
    _, code = text.split('"""\n\n', 1)
    assert code in (ROOT / "docs" / "guides" / "take-away.md").read_text(encoding="utf-8")


def test_nearest_is_what_predict_rounds_to() -> None:
    for side in range(1, 500):
        assert nearest(side) == max(32, round(side / 32) * 32)
        assert int(nearest(torch.tensor(side))) == nearest(side)


class Fixed(nn.Module):
    """A network that forgets how large the picture is when it is traced."""

    def forward(self, images: Tensor) -> Tensor:
        weights = torch.arange(float(int(images.shape[3]) % 96 // 32)).sum()
        first = images.mean(dim=1, keepdim=True) / 255 - 0.5
        return torch.cat([first + weights, 0.1 - first], dim=1)


def test_a_network_that_is_not_the_same_at_other_sizes_is_refused(tmp_path: Path) -> None:
    network = Fixed()
    with pytest.raises(InputError, match="cannot be exported for any size"):
        write_onnx(tmp_path / "network.onnx", network, network, CLASSES, 64)
    assert not list(tmp_path.iterdir())


def test_without_onnx_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def hidden(name: str, *rest: Any) -> Any:
        return None if name == "onnxruntime" else real(name, *rest)

    monkeypatch.setattr(graph.importlib.util, "find_spec", hidden)
    network = Fixed()
    with pytest.raises(InputError, match=r"onnxruntime: pip install 'tag2mask\[onnx\]'"):
        write_onnx(tmp_path / "network.onnx", network, network, CLASSES, 64)
