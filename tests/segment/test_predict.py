"""Decisions land where the logits were, at the size of the photograph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from tag2mask.segment import predict
from tag2mask.types import PseudoMask

CPU = torch.device("cpu")
SIZES = [(97, 131), (131, 97), (33, 200), (64, 64), (1, 1), (5, 301)]
SCALES = [(1.0,), (0.5, 1.0, 1.5)]


def by_colour(images: Tensor) -> Tensor:
    """Background where it is dark, else the label of the strongest channel."""
    dark = torch.full_like(images[:, :1], 100.0)
    return torch.cat([dark, images], dim=1)


def decide(
    network: object, images: list[Tensor], scales: tuple[float, ...], flip: bool
) -> list[PseudoMask]:
    ids = [f"photo {n}" for n in range(len(images))]
    return predict(network, ids, images, 96, scales, flip, CPU)  # type: ignore[arg-type]


def quarters(height: int, width: int) -> tuple[Tensor, Tensor]:
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[: height // 2, width // 2 :] = 1
    labels[height // 2 :, : width // 2] = 2
    labels[height // 2 :, width // 2 :] = 3
    image = torch.stack([255 * (labels == label) for label in (1, 2, 3)]).to(torch.uint8)
    return image, labels


@pytest.mark.parametrize("size", [(97, 131), (131, 97), (64, 64), (240, 320)])
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("flip", [False, True])
def test_every_quarter_keeps_its_label_and_its_place(
    size: tuple[int, int], scales: tuple[float, ...], flip: bool
) -> None:
    image, labels = quarters(*size)
    (mask,) = decide(by_colour, [image], scales, flip)
    assert mask.labels.shape == size
    border = torch.zeros(size, dtype=torch.bool)
    reach = max(size) // 32 + 2
    middle = (size[0] // 2, size[1] // 2)
    border[middle[0] - reach : middle[0] + reach] = True
    border[:, middle[1] - reach : middle[1] + reach] = True
    assert torch.equal(mask.labels[~border], labels[~border])
    wrong = int((mask.labels != labels).sum())
    assert wrong <= 0.05 * labels.numel()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("flip", [False, True])
def test_odd_photographs_keep_their_size(size: tuple[int, int], flip: bool) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    (mask,) = decide(by_colour, [image], (0.75, 1.0), flip)
    assert mask.labels.shape == size
    assert mask.labels.dtype == torch.uint8


def test_mirroring_undoes_what_a_network_does_to_one_side() -> None:
    """A network that always says left: mirrored views must cancel it, exactly in the middle."""

    def left(images: Tensor) -> Tensor:
        ramp = torch.linspace(1, -1, images.shape[-1]).expand(len(images), 1, *images.shape[-2:])
        return torch.cat([torch.full_like(ramp, 0.05), ramp], dim=1)

    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    (alone,) = decide(left, [image], (1.0,), flip=False)
    assert 0.4 < float((alone.labels == 1).float().mean()) < 0.6
    assert alone.labels[:, :40].unique().tolist() == [1]
    (both,) = decide(left, [image], (1.0,), flip=True)
    assert torch.equal(both.labels, both.labels.flip(-1))


def test_networks_see_whole_multiples_of_32_near_every_size() -> None:
    seen: list[tuple[int, ...]] = []

    def watched(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape))
        return by_colour(images)

    images = [torch.zeros(3, 60, 100, dtype=torch.uint8)] * 2
    decide(watched, images, (1.0, 2.0, 3.0), flip=False)
    assert sorted(seen) == [(2, 3, 64, 96), (2, 3, 128, 192), (2, 3, 160, 288)]


def test_probabilities_are_averaged_not_logits() -> None:
    """One size is very sure of label 1; two are fairly sure of 2. Their votes decide."""

    def network(images: Tensor) -> Tensor:
        sure = images.shape[-1] == 96
        logits = torch.tensor([0.0, 50.0, 0.0] if sure else [0.0, 0.0, 3.0])
        return logits.view(1, 3, 1, 1).expand(len(images), 3, *images.shape[-2:])

    (mask,) = decide(network, [torch.zeros(3, 96, 96, dtype=torch.uint8)], (1.0, 2.0, 3.0), False)
    votes = [torch.tensor(logits).softmax(0) for logits in ([0.0, 50, 0], [0.0, 0, 3], [0.0, 0, 3])]
    assert int(torch.stack(votes).sum(0).argmax()) == 2
    assert mask.labels.unique().tolist() == [2]


def test_photographs_of_a_batch_are_decided_one_by_one() -> None:
    images = [
        quarters(64, 96)[0],
        quarters(64, 96)[0].flip(-1),
        torch.zeros_like(quarters(64, 96)[0]),
    ]
    together = decide(by_colour, images, (1.0, 1.5), True)
    assert [mask.id for mask in together] == ["photo 0", "photo 1", "photo 2"]
    for image, mask in zip(images, together, strict=True):
        (alone,) = decide(by_colour, [image], (1.0, 1.5), True)
        assert torch.equal(mask.labels, alone.labels)


def test_a_small_thing_is_found_where_it_is() -> None:
    image = torch.zeros(3, 120, 160, dtype=torch.uint8)
    image[1, 30:50, 100:130] = 255
    (mask,) = decide(by_colour, [image], (1.0, 1.5), True)
    rows, columns = (mask.labels == 2).nonzero(as_tuple=True)
    assert float(rows.float().mean() + 0.5) == pytest.approx(40, abs=0.6)
    assert float(columns.float().mean() + 0.5) == pytest.approx(115, abs=0.6)


def test_a_decision_gets_the_photograph_and_its_probabilities() -> None:
    images = [torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8) for _ in range(2)]
    seen: list[Tensor] = []

    def decision(image: Tensor, probabilities: Tensor) -> Tensor:
        assert image is images[len(seen)]
        seen.append(probabilities)
        return torch.full(image.shape[1:], len(seen), dtype=torch.uint8)

    masks = predict(by_colour, ["a", "b"], images, 96, (1.0, 1.5), True, CPU, decision)
    assert [mask.labels.unique().tolist() for mask in masks] == [[1], [2]]
    for mask, probabilities in zip(decide(by_colour, images, (1.0, 1.5), True), seen, strict=True):
        assert torch.allclose(probabilities.sum(dim=0), torch.ones(()), atol=1e-6)
        wide = functional.interpolate(probabilities[None], (40, 60), mode="bilinear")[0]
        assert (wide.argmax(dim=0) == mask.labels).float().mean() > 0.999


def test_nothing_in_nothing_out_and_no_scale_is_an_error() -> None:
    assert decide(by_colour, [], (1.0,), True) == []
    with pytest.raises(ValueError, match="at least one scale"):
        decide(by_colour, [torch.zeros(3, 8, 8, dtype=torch.uint8)], (), True)


def test_the_decision_is_the_largest_of_enlarged_probabilities() -> None:
    image = torch.randint(0, 256, (3, 203, 151), dtype=torch.uint8)
    (mask,) = decide(by_colour, [image], (1.0,), False)
    view = resize(image, [96, 64], InterpolationMode.BILINEAR, antialias=True)[None].float()
    probabilities = by_colour(view).softmax(dim=1)
    full = functional.interpolate(probabilities, (203, 151), mode="bilinear", align_corners=False)
    assert torch.equal(mask.labels, full[0].argmax(dim=0).to(torch.uint8))
