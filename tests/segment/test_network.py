"""The network that pseudo masks teach: the backbone's weights, a loss over decided pixels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from oracles.segmentation import cross_entropy
from torch import Tensor, nn

from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.segment import Segmenter, SegmentOptions
from tag2mask.segment.network import hand_over
from tag2mask.storage import read_tensors, write_tensors
from tag2mask.train import TrainOptions, fit, mask_batches
from tag2mask.types import UNKNOWN, MaskBatch, PseudoMask

LABELS = 4
BACKBONES = [("tf_efficientnet_lite0", 16), ("resnet18", 16), ("mobilenetv3_small_100", 32)]


def options(name: str = "test_efficientnet", stride: int = 16) -> BackboneOptions:
    return BackboneOptions(name, "none", stride)


def segmenter(seed: int = 0) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(SegmentOptions(), options(), LABELS)


def batch(labels: Tensor | None = None) -> MaskBatch:
    if labels is None:
        labels = torch.randint(0, LABELS, (2, 32, 64))
        labels[torch.rand(labels.shape) < 0.3] = UNKNOWN
    ids = tuple(f"photo {n}" for n in range(len(labels)))
    return MaskBatch(ids, torch.rand(len(labels), 3, *labels.shape[1:]) * 255, labels)


def plain(name: str) -> str:
    return name.removeprefix("model.").replace("_", ".")


@pytest.mark.parametrize(("name", "stride"), BACKBONES)
def test_the_encoder_has_the_weights_of_the_backbone(name: str, stride: int) -> None:
    torch.manual_seed(3)
    network = Segmenter(SegmentOptions(), options(name, stride), LABELS)
    torch.manual_seed(3)
    trunk = {plain(n): t for n, t in Backbone(options(name, stride)).network.state_dict().items()}
    encoder = network.network.encoder.state_dict()
    assert len(encoder) > 100
    for key, tensor in encoder.items():
        assert torch.equal(tensor, trunk[plain(key)]), key


def test_the_encoder_answers_like_the_backbone() -> None:
    """Equal names could still be wired differently."""
    torch.manual_seed(3)
    network = Segmenter(SegmentOptions(), options("test_resnet"), LABELS).eval()
    torch.manual_seed(3)
    trunk = Backbone(options("test_resnet")).eval()
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        deepest = network.network.encoder((images - network.mean) / network.deviation)[-1]
        torch.testing.assert_close(deepest, trunk(images), rtol=1e-4, atol=1e-5)


def test_stages_with_many_blocks_are_not_mixed_up() -> None:
    """Without separators `1.10.0` and `11.0.0` would be one name."""
    names = ("layer1.10.0", "layer11.0.0")
    trunk, encoder = nn.Module(), nn.Module()
    for number, name in enumerate(names):
        parts = name.split(".")
        inner = trunk
        for part in parts[:-1]:
            if part not in dict(inner.named_children()):
                inner.add_module(part, nn.Module())
            inner = inner.get_submodule(part)
        inner.register_parameter(parts[-1], nn.Parameter(torch.tensor([float(number)])))
        encoder.register_parameter(name.replace(".", "_"), nn.Parameter(torch.tensor([-1.0])))
    hand_over(trunk, encoder)
    found = encoder.state_dict()
    assert [found[name.replace(".", "_")].item() for name in names] == [0.0, 1.0]


def test_an_encoder_of_another_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"layer weight has no counterpart in the backbone"):
        hand_over(nn.Linear(3, 2), nn.Linear(2, 3))
    with pytest.raises(InputError, match=r"layer bias has no counterpart"):
        hand_over(nn.Linear(3, 2, bias=False), nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("architecture", "name"), [("deeplabv3plus", "test_vit"), ("deeplabv9", "test_resnet")]
)
def test_a_pair_that_cannot_be_built_is_named(architecture: str, name: str) -> None:
    pattern = f"cannot build {architecture} on {name} .*another --segment.architecture"
    with pytest.raises(InputError, match=pattern):
        Segmenter(SegmentOptions(architecture), options(name), LABELS)


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "unet", "fpn"])
def test_logits_for_every_label_at_every_pixel(architecture: str) -> None:
    network = Segmenter(SegmentOptions(architecture), options(), LABELS).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 32, 96) * 255).shape == (1, LABELS, 32, 96)


def test_the_loss_is_the_cross_entropy_of_the_decided_pixels() -> None:
    network, given = segmenter().double().eval(), batch()
    given = MaskBatch(given.ids, given.images.double(), given.labels)
    with torch.inference_mode():
        logits = network(given.images)
        (loss,) = network.losses(given, 0.0).values()
    expected = cross_entropy(logits.numpy(), given.labels.numpy(), UNKNOWN)
    assert float(loss) == pytest.approx(expected, rel=1e-5)  # the loss itself is single precision


def test_what_lies_under_unknown_does_not_matter() -> None:
    network, given = segmenter().eval(), batch()
    logits = network(given.images).detach()
    gradient_of = torch.nn.Parameter(logits)
    network.forward = lambda images: gradient_of  # type: ignore[method-assign, assignment]
    network.losses(given, 0.0)["labels"].backward()
    assert gradient_of.grad is not None
    touched = gradient_of.grad.abs().sum(dim=1) > 0
    assert torch.equal(touched, given.labels != UNKNOWN)


def test_a_batch_that_is_all_unknown_costs_nothing() -> None:
    network = segmenter().train()
    (loss,) = network.losses(batch(torch.full((2, 64, 64), UNKNOWN)), 0.0).values()
    assert float(loss.detach()) == 0.0
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients
    assert not any(bool(gradient.any()) for gradient in gradients)  # zero, and no nan


def test_every_trainable_parameter_has_one_optimizer_and_its_rate() -> None:
    network = segmenter()
    (optimizer,) = network.optimizers()
    owners = Counter(id(p) for group in optimizer.param_groups for p in group["params"])
    assert set(owners) == {id(p) for p in network.parameters() if p.requires_grad}
    assert set(owners.values()) == {1}
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    old = {id(p) for p in network.network.encoder.parameters()}
    assert {rate for i, rate in rates.items() if i in old} == {network.options.rate}
    new = {rate for i, rate in rates.items() if i not in old}
    assert new == {network.options.rate * network.options.head}


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext"])
def test_the_first_layers_are_frozen_and_the_decoder_is_not(name: str) -> None:
    network = Segmenter(SegmentOptions(), options(name), LABELS)
    encoder = [p.requires_grad for p in network.network.encoder.parameters()]
    assert encoder == sorted(encoder)  # frozen ones first
    assert 0 < sum(encoder) < len(encoder)
    decoder = network.network.decoder.parameters()
    assert all(p.requires_grad for p in decoder)


def test_only_new_batch_norms_learn_statistics() -> None:
    network = segmenter().train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.losses(batch(torch.zeros(2, 64, 64, dtype=torch.int64)), 0.0)
    moved = {name for name, b in network.named_buffers() if not torch.equal(b, before[name])}
    assert moved
    assert not any(name.startswith("network.encoder.") for name in moved)


def test_weights_on_disk_make_another_network_the_same(tmp_path: Path) -> None:
    one, other = segmenter(0).eval(), segmenter(1).eval()
    write_tensors(tmp_path / "w.safetensors", one.state_dict())
    other.load_state_dict(read_tensors(tmp_path / "w.safetensors"))
    images = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        assert torch.equal(one(images), other(images))


class Halves:
    """Left half black is label 1, right half white is label 2, a strip between is unknown."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> tuple[Tensor, PseudoMask]:
        image = torch.zeros(3, 48, 64, dtype=torch.uint8)
        image[:, :, 32:] = 255
        labels = torch.ones(48, 64, dtype=torch.uint8)
        labels[:, 32:] = 2
        labels[:, 30:34] = UNKNOWN
        return image, PseudoMask(f"photo {number}", labels)


def test_the_one_loop_trains_it(tmp_path: Path) -> None:
    network = segmenter()
    steps = TrainOptions(steps=12, batch=2, warmup=0.0)
    stream = mask_batches(Halves(), steps, 64, 0)
    given = next(stream(100, 101))
    with torch.no_grad():
        before = float(network.train().losses(given, 0.0)["labels"])
    fit(Fabric(accelerator="cpu", devices=1), network, stream, steps, tmp_path, 0, "network")
    with torch.no_grad():
        after = float(network.train().losses(given, 0.0)["labels"])
    assert after < 0.6 * before
