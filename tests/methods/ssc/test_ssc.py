"""SSC: decoder, perceptual distance, and which gradient goes where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import ssc as oracle
from torch import Tensor, nn
from torchvision.models import vgg19

from tag2mask.errors import InputError
from tag2mask.methods import METHODS
from tag2mask.methods.ssc import SSC, SSCOptions
from tag2mask.methods.ssc.method import smaller
from tag2mask.methods.ssc.perceptual import VGG_TAPS, WEIGHTS, StageTaps, perceptual_network
from tag2mask.methods.ssc.reconstruction import Decoder, WholeNorm
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.types import Cue, TagBatch

SMALL = SSCOptions(width=8)


def backbone(name: str = "test_efficientnet") -> Backbone:
    return Backbone(BackboneOptions(name, "none"))


def ssc(options: SSCOptions = SMALL) -> SSC:
    return SSC(options, backbone(), 2).train()


def batch() -> TagBatch:
    tags = torch.tensor([[True, False], [True, True]])
    regions = (torch.arange(64).view(1, 64, 1) // 10).repeat(2, 1, 64)
    return TagBatch(("a", "b"), torch.rand(2, 3, 64, 64) * 255, tags, {Cue.SUPERPIXELS: regions})


def graded(module: nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_it_is_in_the_table() -> None:
    assert METHODS["ssc"] is SSC
    assert SSC.Options is SSCOptions


def test_the_decoder_has_the_layers_of_the_paper() -> None:
    decoder = Decoder(20, 16, 256)
    doubling = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    plain = [m for m in decoder.modules() if type(m) is nn.Conv2d]
    channels = [(m.in_channels, m.out_channels) for m in doubling]
    assert channels == [(256, 256), (256, 128), (128, 64), (64, 32)]
    channels = [(m.in_channels, m.out_channels) for m in plain]
    same = [(width, width) for width in (256, 128, 64, 32)]
    assert channels == [(20, 256), (256, 256), (256, 256), *same, (32, 3)]
    assert {m.kernel_size for m in doubling} == {(4, 4)}
    assert {m.kernel_size for m in plain} == {(3, 3)}


@pytest.mark.parametrize(("cell", "grid", "size"), [(16, (4, 6), (64, 96)), (8, (5, 5), (40, 40)),
                                                    (32, (2, 3), (64, 96)), (16, (3, 3), (33, 40)),
                                                    (14, (3, 3), (42, 42))])  # fmt: skip
def test_the_decoder_draws_at_the_photographs_size(
    cell: int, grid: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = Decoder(3, cell, 8)(torch.randn(2, 3, *grid), size)
    assert picture.shape == (2, 3, *size)
    assert bool((picture.abs() <= 1).all())


def test_its_norm_is_over_the_whole_photograph() -> None:
    norm = WholeNorm(3).double()
    nn.init.normal_(norm.shift)
    features = 3 + torch.randn(2, 3, 4, 5, dtype=torch.float64)
    gain, shift = (p.detach().flatten().numpy() for p in (norm.gain, norm.shift))
    expected = oracle.whole_norm(features.numpy(), gain, shift)
    np.testing.assert_allclose(norm(features).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def test_the_distance_is_the_weighted_mean_over_taps() -> None:
    network = StageTaps(backbone().double())
    one, other = (torch.rand(2, 3, 48, 64, dtype=torch.float64) * 255 for _ in range(2))
    expected = 0.0
    taps = [network.taps((x - network.mean) / network.deviation) for x in (one, other)]
    assert len(taps[0]) >= 3
    for weight, a, b in zip(WEIGHTS[-len(taps[0]) :], *taps, strict=True):
        expected += weight * float((a - b).abs().sum()) / a.numel()
    assert float(network(one, other)) == pytest.approx(expected, rel=1e-9)
    assert float(network(one, one)) == 0


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet18", "test_convnext"])
def test_taps_are_one_for_each_reduction(name: str) -> None:
    given = Backbone(BackboneOptions(name, "none", stride=32 if "convnext" in name else 16))
    taps = StageTaps(given).taps(torch.rand(1, 3, 64, 64))
    reductions = [64 // tap.shape[2] for tap in taps]
    assert reductions == sorted(set(reductions))
    assert reductions[-1] == 16


def test_vgg_is_read_where_the_paper_reads_it(tmp_path: Path) -> None:
    whole = vgg19(weights=None)
    features = {f"features.{k}": v for k, v in whole.features.state_dict().items()}
    torch.save(features, tmp_path / "vgg.pth")
    network = perceptual_network(backbone(), tmp_path / "vgg.pth")
    images = torch.randn(1, 3, 32, 32)
    for place, tap in zip(VGG_TAPS, network.taps(images), strict=True):
        with torch.no_grad():
            assert torch.equal(tap, whole.features[: place + 1](images))
    assert [*network.state_dict()] == []


def test_a_file_that_holds_no_vgg_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not hold VGG-19"):
        perceptual_network(backbone(), tmp_path / "other.pth")


def test_the_reconstruction_teaches_classifier_and_decoder_alone() -> None:
    method = ssc()
    given = batch()
    before = {name: b.clone() for name, b in method.named_buffers()}
    method.losses(given, 0.0)["reconstruction"].backward()
    assert graded(method.host.classifier)
    assert method.decoder is not None
    assert graded(method.decoder)
    assert method.perceptual is not None
    assert [*method.perceptual.parameters()] == []
    assert not any(b.requires_grad for b in method.perceptual.buffers())
    assert given.images.grad is None
    assert all(torch.equal(b, before[name]) for name, b in method.named_buffers())


def test_the_perceptual_network_is_the_pretrained_one_and_stays_it() -> None:
    method = ssc()
    assert method.perceptual is not None
    copy = {k: v.clone() for k, v in method.perceptual.network.named_buffers()}
    for name, tensor in method.host.backbone.network.named_parameters():
        assert torch.equal(copy[name], tensor)
    optimizers = method.optimizers()
    torch.stack(list(method.losses(batch(), 0.5).values())).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    for name, tensor in method.perceptual.network.named_buffers():
        assert torch.equal(copy[name], tensor)
    assert not any(name.startswith("perceptual") for name in method.state_dict())


def test_the_modulation_joins_after_the_warm_up() -> None:
    method = ssc(replace(SMALL, warmup=0.2))
    assert [*method.losses(batch(), 0.19)] == ["tags", "reconstruction"]
    assert [*method.losses(batch(), 0.2)] == ["tags", "reconstruction", "modulation"]


def test_each_term_can_be_switched_off_and_weighs_as_told() -> None:
    given, full = batch(), ssc(replace(SMALL, reconstruction=0.1, modulation=10.0))
    off = ssc(replace(SMALL, reconstruction=0.0, modulation=0.0))
    off.host.load_state_dict(full.host.state_dict())
    heavy = ssc(replace(SMALL, reconstruction=0.3, modulation=5.0))
    heavy.load_state_dict(full.state_dict())
    heavy.perceptual = full.perceptual
    terms, weighed, alone = (m.losses(given, 0.5) for m in (full, heavy, off))
    assert [*alone] == ["tags"]
    assert len(off.optimizers()) == 1
    torch.testing.assert_close(alone["tags"], terms["tags"])
    torch.testing.assert_close(weighed["reconstruction"], 3 * terms["reconstruction"])
    torch.testing.assert_close(weighed["modulation"], 0.5 * terms["modulation"])


@pytest.mark.parametrize("host", ["cam", "drs"])
def test_without_terms_it_is_its_host(host: str) -> None:
    options = replace(SMALL, host=host, reconstruction=0.0, modulation=0.0)  # type: ignore[arg-type]
    method = ssc(options)
    plain = METHODS[host](METHODS[host].Options(), backbone(), 2).train()
    plain.load_state_dict(method.host.state_dict())
    given = batch()
    torch.testing.assert_close(method.losses(given, 0.5), plain.losses(given, 0.5))
    with torch.inference_mode():
        assert torch.equal(
            method.eval().localize(given.images, given.tags),
            plain.eval().localize(given.images, given.tags),
        )


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_photograph_is_drawn_at_a_share_of_its_side(share: float) -> None:
    method, given = ssc(replace(SMALL, drawn=share)), batch()
    assert method.perceptual is not None
    seen = []
    method.perceptual.register_forward_pre_hook(lambda _, pair: seen.append(pair))
    method.losses(given, 0.0)
    ((made, wanted),) = seen
    height, width = (round(extent * share) for extent in given.images.shape[2:])
    assert made.shape == wanted.shape == (len(given.images), 3, height, width)
    assert method.decoder is not None
    made_alone = method.decoder(torch.randn(1, 2, 4, 4), (round(64 * share), round(64 * share)))
    assert made_alone.shape[2:] == (round(64 * share), round(64 * share))
    whole = smaller(given.images, share)
    torch.testing.assert_close(
        whole.mean(dim=(2, 3)), given.images.mean(dim=(2, 3)), rtol=0.02, atol=2
    )


def test_the_decoder_has_an_adam_of_its_own() -> None:
    method = ssc(replace(SMALL, drawing=3e-4))
    _, adam = method.optimizers()
    assert method.decoder is not None
    assert {id(p) for g in adam.param_groups for p in g["params"]} == {
        id(p) for p in method.decoder.parameters()
    }
    assert adam.defaults["lr"] == 3e-4
    assert adam.defaults["betas"] == (0.5, 0.999)


def pictured(span: str, value: float) -> Tensor:
    method = ssc(replace(SMALL, span=span))  # type: ignore[arg-type]
    assert method.decoder is not None
    nn.init.zeros_(method.decoder.leave.weight)
    nn.init.constant_(method.decoder.leave.bias, value)  # type: ignore[arg-type]
    with torch.no_grad():
        drawn = method.draw(torch.randn(1, 2, 4, 4), (64, 64))
    assert method.perceptual is not None
    return torch.stack([drawn[0, :, 0, 0], *(getattr(method.perceptual, n).flatten()
                        for n in ("mean", "deviation"))])  # fmt: skip


def test_what_is_drawn_spans_the_photographs_range_or_one_deviation() -> None:
    assert pictured("image", 20.0)[0].tolist() == [255.0] * 3
    assert pictured("image", -20.0)[0].tolist() == [0.0] * 3
    drawn, mean, deviation = pictured("normalised", 20.0)
    torch.testing.assert_close(drawn, mean + deviation)


@pytest.mark.parametrize(
    "wrong", [{"reconstruction": -1.0}, {"width": 0}, {"delta": 0.0}, {"count": 0}]
)
def test_values_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        replace(SSCOptions(), **wrong)  # type: ignore[arg-type]
