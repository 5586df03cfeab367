"""WideResNet-38 against the published layout, layer by layer, and among timm's networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from oracles.wide_resnet import drawn, features, narrow, published
from safetensors.torch import save_file
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.host import DRSHost, stage
from tag2mask.nn.taps import inner_stages, watching
from tag2mask.segment import Segmenter, SegmentOptions
from tag2mask.types import Cue, TagBatch

NAME = "wide_resnet38"
SHARE = 32  # of the channels, where the network has to run
NARROW = narrow(published(), SHARE)


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network with one in 32 channels, under its name."""
    create = timm.create_model

    def make(name: str, **options: Any) -> nn.Module:
        width = {"width": 64 // SHARE} if name == NAME else {}
        network: nn.Module = create(name, **options, **width)
        return network

    monkeypatch.setattr(timm, "create_model", make)


def network(stride: int = 8) -> nn.Module:
    options = {"num_classes": 0, "global_pool": "", "output_stride": stride, "width": 64 // SHARE}
    made: nn.Module = timm.create_model(NAME, **options)
    return made.double().eval()


def test_it_has_the_published_entries_and_their_number() -> None:
    with torch.device("meta"):
        whole = timm.create_model(NAME, num_classes=0, output_stride=8, global_pool="")
    entries = {n: tuple(t.shape) for n, t in whole.state_dict().items() if "batches" not in n}
    assert entries == published()
    assert sum(p.numel() for p in whole.parameters()) == 105_070_912
    assert whole.num_features == 4096


def test_it_computes_what_the_layers_say() -> None:
    state = drawn(NARROW)
    one = network()
    one.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, 56, 72, dtype=torch.float64)
    expected = features(state, images)
    with torch.no_grad(), watching([stage(one, "b4.bn_branch2a"), *inner_stages(one)[0]]) as seen:
        found = one.forward_features(images)  # type: ignore[operator]
    torch.testing.assert_close(found, expected["conv6"], rtol=1e-9, atol=1e-9)
    for tap, name in zip(seen, ("conv3", "conv4", "conv5"), strict=True):
        torch.testing.assert_close(tap, expected[name], rtol=1e-9, atol=1e-9)
    assert found.shape[2:] == (7, 9)


@pytest.mark.parametrize(
    ("stride", "reductions", "dilations"),
    [
        (8, [2, 4, 8, 8, 8], {"b5": (1, 2), "b5_1": (2, 2), "b6": (4,), "b7": (4,)}),
        (16, [2, 4, 8, 16, 16], {"b5": (1, 1), "b5_1": (1, 1), "b6": (2,), "b7": (2,)}),
        (32, [2, 4, 8, 16, 32], {"b5": (1, 1), "b5_1": (1, 1), "b6": (1,), "b7": (1,)}),
    ],
)
def test_a_finer_grid_is_kept_by_dilation(
    stride: int, reductions: list[int], dilations: dict[str, tuple[int, ...]]
) -> None:
    one: Any = network(stride)
    assert [s["reduction"] for s in one.feature_info] == reductions
    for name, expected in dilations.items():
        convolutions = [m for m in getattr(one, name).modules() if isinstance(m, nn.Conv2d)]
        found = tuple(m.dilation[0] for m in convolutions if m.kernel_size == (3, 3))
        assert found == expected
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    every, last = one.forward_intermediates(images, range(5))[::-1]
    shapes = [(s["num_chs"], 64 // s["reduction"], 96 // s["reduction"]) for s in one.feature_info]
    assert [tuple(found.shape[1:]) for found in every] == shapes
    assert torch.equal(last, every[-1])
    early = one.forward_intermediates(images, [0, 1], stop_early=True, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(early, every[:2], strict=True))


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_as_the_field_converted_them(tmp_path: Path, ending: str) -> None:
    state = {name: tensor.float() for name, tensor in drawn(NARROW).items()}
    state["linear1000.weight"] = torch.zeros(1000, 4096 // SHARE)  # some keep the classifier
    path = tmp_path / f"a1.{ending}"
    if ending == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    backbone = Backbone(BackboneOptions(NAME, str(path), stride=8, frozen=2)).eval()
    images = torch.rand(1, 3, 32, 48) * 255
    given = (images - backbone.mean) / backbone.deviation
    with torch.no_grad():
        expected = features(state, given)["conv6"]
        torch.testing.assert_close(backbone(images), expected, rtol=1e-3, atol=1e-4)
    learns = {n.split(".")[0] for n, p in backbone.network.named_parameters() if p.requires_grad}
    assert {"conv1a", "b2", "b2_1", "b2_2"} & learns == set()  # as the field freezes
    assert {"b3", "b7", "bn7"} <= learns


def test_weights_that_lack_a_layer_do_not_fit(thin: None, tmp_path: Path) -> None:
    state = drawn(NARROW)
    del state["b4_3.conv_branch2a.weight"]
    torch.save(state, tmp_path / "a1.pth")
    with pytest.raises(InputError, match=r"do not fit wide_resnet38: .*b4_3\.conv_branch2a"):
        Backbone(BackboneOptions(NAME, str(tmp_path / "a1.pth"), stride=8))


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize(("stride", "nearest"), [(4, 8), (24, 16)])
def test_other_strides_are_refused(stride: int, nearest: int) -> None:
    with pytest.raises(InputError, match=f"expected --stride {nearest}, came {stride}"):
        Backbone(BackboneOptions(NAME, "none", stride))


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize(
    ("weights", "text"), [("hub", "cannot build wide_resnet38 .*--weights"), ("embedded", "FILE")]
)
def test_weights_come_from_a_file(weights: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        Backbone(BackboneOptions(NAME, weights, stride=8))


@pytest.mark.usefixtures("thin")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_stands_on_it(name: str) -> None:
    torch.manual_seed(0)
    method = METHODS[name](
        METHODS[name].Options(), Backbone(BackboneOptions(NAME, "none", 8, 2)), 3
    )
    images, size = torch.rand(2, 3, 64, 64) * 255, (2, 64, 64)
    cues: dict[Cue, Tensor] = {
        Cue.SUPERPIXELS: torch.zeros(size, dtype=torch.int64),
        Cue.SALIENCY: torch.rand(size),
        Cue.SEEDS: torch.zeros(size, dtype=torch.int64),
    }
    tags = torch.tensor([[True, False, True], [False, True, False]])
    terms = method.losses(TagBatch(("a", "b"), images, tags, cues), 0.9)
    assert all(bool(term.isfinite()) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    with torch.no_grad():
        found = method.eval().localize(images, tags)
    assert found.shape[:2] == (2, 3)
    assert min(found.shape[2:]) >= 8  # REC's mask-lets are finer


@pytest.mark.usefixtures("thin")
def test_drs_suppresses_the_stage_that_first_has_reduction_8() -> None:
    host = DRSHost(Backbone(BackboneOptions(NAME, "none", 8)), 3).train()
    peaks = []
    early: nn.Module = stage(host.backbone.network, "b4_5")
    early.register_forward_hook(
        lambda _m, _x, found: peaks.append(found.amax(dim=(2, 3)).clamp(min=0))
    )
    given: list[Tensor] = []
    inner = stage(host.backbone.network, "b4_4")
    inner.register_forward_hook(lambda _m, _x, found: given.append(found))
    host(torch.rand(1, 3, 64, 64) * 255)
    block: Any = early
    block._forward_hooks.clear()
    torch.testing.assert_close(peaks[0], 0.55 * block(given[0]).amax(dim=(2, 3)).clamp(min=0))


@pytest.mark.usefixtures("thin")
def test_a_segmentation_network_takes_it_as_its_encoder() -> None:
    made = Segmenter(SegmentOptions(), BackboneOptions(NAME, "none", 8, 2), 4).eval()
    with torch.no_grad():
        assert made(torch.rand(1, 3, 64, 64) * 255).shape == (1, 4, 64, 64)
