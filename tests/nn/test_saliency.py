"""Saliency models from files: what they are given, and what they may put out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.nn.saliency import SaliencyModel

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Redness(nn.Module):
    """The red of a photograph, 0 … 1, and other things behind it."""

    def __init__(self, scale: float = 1.0, several: bool = True, channels: int = 1) -> None:
        super().__init__()
        self.scale, self.several, self.channels = scale, several, channels

    def forward(self, images: Tensor) -> Any:
        red = (images[:, :1] * DEVIATION[0] + MEAN[0]) * self.scale
        red = red.repeat(1, self.channels, 1, 1)
        return [red, 1 - red] if self.several else red


def scripted(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():  # torch says that another way will follow some day
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.rand(1, 3, 48, 48)), path)  # type: ignore
    return path


def exported(path: Path, fixed: tuple[int, int] | None) -> Path:
    """Redness as an ONNX network, written down by hand."""
    from onnx import TensorProto, helper, save_model

    shape = [1, 3, *(fixed or ("h", "w"))]
    nodes = [
        helper.make_node("Slice", ["images", "start", "end", "axis"], ["red"]),
        helper.make_node("Mul", ["red", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["sum"]),
        helper.make_node("Clip", ["sum", "zero", "one"], ["saliency"]),
    ]
    numbers = {"start": [0], "end": [1], "axis": [1]}
    constants = [helper.make_tensor(n, TensorProto.INT64, [1], v) for n, v in numbers.items()]
    values = {"scale": DEVIATION[0], "shift": MEAN[0], "zero": 0.0, "one": 1.0}
    constants += [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in values.items()]
    entry = helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("saliency", TensorProto.FLOAT, [1, 1, *shape[2:]])
    graph = helper.make_graph(nodes, "redness", [entry], [result], constants)
    version = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=version, ir_version=9), path)
    return path


def photograph() -> Tensor:
    """Red rises from left to right."""
    image = torch.zeros(3, 20, 40, dtype=torch.uint8)
    image[0] = torch.arange(40).mul(6).to(torch.uint8)
    return image


def expected(rows: int, columns: int) -> Tensor:
    red = nn.functional.interpolate(
        photograph()[None, :1].float(), (rows, columns), mode="bilinear", antialias=True
    )
    return red[0, 0] / 255


def test_torchscript_is_given_a_normalised_square(tmp_path: Path) -> None:
    model = SaliencyModel(scripted(tmp_path / "red.pt", Redness()), 16)
    torch.testing.assert_close(model(photograph()), expected(16, 16), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("fixed", "size"), [((12, 24), (12, 24)), (None, (16, 16))])
def test_an_onnx_network_says_its_size_where_it_is_fixed(
    tmp_path: Path, fixed: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = SaliencyModel(exported(tmp_path / "red.onnx", fixed), 16)
    assert model.size == size
    torch.testing.assert_close(model(photograph()), expected(*size), rtol=1e-5, atol=1e-5)


def test_the_fingerprint_is_the_files_and_the_sizes(tmp_path: Path) -> None:
    one = scripted(tmp_path / "one.pt", Redness())
    prints = {SaliencyModel(one, 16).fingerprint, SaliencyModel(one, 16).fingerprint}
    prints.add(SaliencyModel(one, 24).fingerprint)
    prints.add(SaliencyModel(scripted(tmp_path / "two.pt", Redness(0.5)), 16).fingerprint)
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Redness(scale=3.0), r"puts out numbers from 0\.\d+ to 2\.\d+; expected 0 to 1"),
        (Redness(scale=float("nan")), r"puts out numbers from nan to nan; expected 0 to 1"),
        (Redness(channels=2), r"puts out the shape \(1, 2, 16, 16\) for one photograph"),
    ],
)
def test_what_is_no_saliency_is_refused(tmp_path: Path, module: nn.Module, message: str) -> None:
    model = SaliencyModel(scripted(tmp_path / "m.pt", module), 16)
    with pytest.raises(InputError, match=message):
        model(photograph())


def test_a_network_that_fails_says_so(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt", nn.Conv2d(3, 1, 40))
    with pytest.raises(InputError, match=r"fails on a photograph of 16 × 16 pixels .*saliency-s"):
        SaliencyModel(path, 16)(photograph())


@pytest.mark.parametrize(("name", "kind"), [("m.pt", "no TorchScript"), ("m.onnx", "no ONNX")])
def test_files_of_something_else_are_named(tmp_path: Path, name: str, kind: str) -> None:
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(InputError, match=f"saliency model .*{name} is {kind}"):
        SaliencyModel(tmp_path / name, 16)


def test_onnxruntime_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"needs onnxruntime, .*tag2mask\[onnx\]"):
        SaliencyModel(tmp_path / "m.onnx", 16)
