"""Mask R-CNN: the architecture, what it is taught with, and its records."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from tag2mask.errors import InputError
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.runs import unpack
from tag2mask.segment import Detector, DetectorOptions, detect
from tag2mask.segment.detector import LEAST, Levels, targets
from tag2mask.train import TrainOptions, instance_batches, mask_batches
from tag2mask.types import UNKNOWN, InstanceBatch, PseudoMask

TERMS = ["classifier", "box reg", "mask", "objectness", "rpn box reg"]


def detector(name: str = "test_resnet", stride: int = 32, side: int = 64) -> Detector:
    torch.manual_seed(0)
    options = DetectorOptions(width=16, frozen=4)
    return Detector(options, BackboneOptions(name, "none", stride), 2, side)


def batch() -> InstanceBatch:
    """A red and a blue square on grey; nothing in the second photograph."""
    images, numbers = torch.full((2, 3, 64, 64), 120.0), torch.zeros(2, 64, 64, dtype=torch.int64)
    for number, (left, channel) in enumerate(((6, 0), (36, 2)), 1):
        numbers[0, 20:42, left : left + 22] = number
        images[0, :, 20:42, left : left + 22] = 20
        images[0, channel, 20:42, left : left + 22] = 230
    numbers[1, :5] = UNKNOWN
    none = torch.zeros(0, dtype=torch.int64)
    return InstanceBatch(("a", "b"), images, numbers, (torch.tensor([1, 2]), none))


def test_levels_of_resnet_50_are_torchvision_s() -> None:
    """Names and shapes, save the counters of BatchNorm; the heads are torchvision's own."""
    with torch.device("meta"):
        options = BackboneOptions("resnet50", "none", 32)
        ours = Levels(Backbone(options), options, 256)
        theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).backbone

    def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
        named = module.state_dict().items()
        return {name: tuple(t.shape) for name, t in named if "num_batches" not in name}

    renamed = {
        name.replace("encoder.", "body.").replace("pyramid.", "fpn."): shape
        for name, shape in shapes(ours).items()
    }
    assert renamed == shapes(theirs)


def test_the_encoder_answers_like_the_backbone() -> None:
    made = detector().eval()
    torch.manual_seed(0)
    trunk = Backbone(BackboneOptions("test_resnet", "none", 32)).eval()
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        deepest = made.network.backbone.encoder((images - trunk.mean) / trunk.deviation)[-1]
        torch.testing.assert_close(deepest, trunk(images), rtol=1e-4, atol=1e-5)


def test_targets_by_hand() -> None:
    numbers = torch.zeros(20, 30, dtype=torch.int64)
    numbers[2:8, 3:10], numbers[10:15, 20:30], numbers[19, :3], numbers[16:] = 1, 4, 2, UNKNOWN
    numbers[17, : LEAST - 1] = 3
    told = targets(numbers, torch.tensor([2, 1, 1, 5]))
    assert told["boxes"].tolist() == [[3, 2, 10, 8], [20, 10, 30, 15]]
    assert told["labels"].tolist() == [2, 5]
    assert told["masks"].flatten(1).sum(dim=1).tolist() == [42, 50]
    empty = targets(torch.zeros(4, 4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert empty["boxes"].shape == (0, 4)
    assert empty["masks"].shape == (0, 4, 4)


def test_every_parameter_has_one_owner() -> None:
    made, given = detector().train(), batch()
    terms = made.losses(given, 0.0)
    assert sorted(terms) == sorted(TERMS)
    torch.stack(list(terms.values())).sum().backward()
    owned = [id(p) for o in made.optimizers() for g in o.param_groups for p in g["params"]]
    learning = {id(p) for p in made.parameters() if p.requires_grad}
    assert sorted(owned) == sorted(learning)
    assert any(not p.requires_grad for p in made.network.backbone.encoder.parameters())
    without = [n for n, p in made.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert not made.network.backbone.encoder.bn1.training


def test_photographs_without_an_object() -> None:
    given = batch()
    none = torch.zeros(0, dtype=torch.int64)
    empty = InstanceBatch(given.ids, given.images, torch.zeros_like(given.numbers), (none, none))
    terms = detector().train().losses(empty, 0.0)
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    assert float(terms["mask"].detach()) == 0


def learned(steps: int) -> tuple[Detector, list[float]]:
    """Two objects of two classes, learned by heart; the objective at every step."""
    made, given = detector().train(), batch()
    (optimizer,) = made.optimizers()
    for group in optimizer.param_groups:
        group["lr"] = 3e-3
    totals = []
    for step in range(steps):
        torch.manual_seed(step)
        total = torch.stack(list(made.losses(given, 0.0).values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        totals.append(float(total.detach()))
    return made, totals


def test_a_few_steps_learn() -> None:
    _, totals = learned(8)
    assert totals[-1] < 0.7 * totals[0]


@pytest.mark.slow
def test_what_is_learned_is_found() -> None:
    made, _ = learned(150)
    images = [image.byte() for image in batch().images]
    with torch.inference_mode():
        found, empty = detect(made, ["a", "b"], images, torch.device("cpu"))
    assert len(empty) == 0
    for label, left in ((1, 6), (2, 36)):
        best = int((found.classes == label).nonzero()[0, 0])
        mask, true = unpack(found.runs[best], found.size), np.zeros(found.size, dtype=bool)
        true[20:42, left : left + 22] = True
        assert (mask & true).sum() / (mask | true).sum() > 0.6
        assert float(found.scores[best]) > 0.5


def test_records_are_of_the_photograph_s_size() -> None:
    """A network that knows nothing finds much; larger photographs come shrunk to it."""
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 48), (90, 200))
    ]
    with torch.inference_mode():
        found = detect(detector(), ["a", "b"], images, torch.device("cpu"))
    assert [one.id for one in found] == ["a", "b"]
    for one, image in zip(found, images, strict=True):
        assert one.size == tuple(image.shape[1:])
        assert len(one) > 0
        assert set(one.classes.tolist()) <= {1, 2}
        assert one.scores.tolist() == sorted(one.scores.tolist(), reverse=True)
        for runs in one.runs:
            mask = unpack(runs, one.size)
            assert mask.shape == one.size
            assert mask.any()


def test_one_scale_is_not_enough() -> None:
    with pytest.raises(InputError, match="features at several scales, and test_vit"):
        detector("test_vit", 16)


def test_objects_move_with_their_photograph() -> None:
    """The same views as those of pseudo masks."""
    draw = np.random.default_rng(0)
    items = []
    for photo in ("a", "b", "c"):
        image = torch.from_numpy(draw.integers(0, 256, (3, 40, 50), dtype=np.uint8))
        ids = torch.from_numpy(draw.integers(0, 4, (40, 50), dtype=np.uint8))
        items.append((image, photo, ids, torch.tensor([1, 2, 2])))
    masked = [(image, PseudoMask(photo, ids)) for image, photo, ids, _ in items]
    options = TrainOptions(steps=3, batch=2, zoom=(0.6, 1.5))
    ours = instance_batches(items, options, 32, seed=5)(0, 3)
    theirs = mask_batches(masked, options, 32, seed=5)(0, 3)
    for one, other in zip(ours, theirs, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.numbers, other.labels)
        assert [each.tolist() for each in one.classes] == [[1, 2, 2]] * 2
        assert one.to(torch.device("cpu")).ids == one.ids
