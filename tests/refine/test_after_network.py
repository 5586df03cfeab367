"""What a network says, decided with a CRF: against one over all labels, pixel by pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.dense_crf import features_of, lattice_matrix, mean_field_by_pixel
from torch import Tensor
from torch.nn import functional

from tag2mask.refine import PRESETS, CRFOptions, refine_probabilities

NAMES = ("deeplab", "irn", "seam-segment")


def pictured(seed: int, size: tuple[int, int], labels: int) -> tuple[Tensor, Tensor]:
    """A photograph of two colours, a label for each, and places where another label is the best."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 60, (3, *size), generator=generator, dtype=torch.uint8)
    image[:, :, size[1] // 2 :] += 150
    logits = 2 * torch.randn(labels, *size, generator=generator)
    logits[0, :, : size[1] // 2] += 3
    logits[1, :, size[1] // 2 :] += 3
    assert len(logits.argmax(dim=0).unique()) == labels
    return image, logits.softmax(dim=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_algorithm_over_all_labels(name: str) -> None:
    options = replace(PRESETS[name], iterations=3)
    image, probabilities = pictured(0, (7, 9), 3)
    found = refine_probabilities(image, probabilities, options, backend="torch")
    p = probabilities.double().numpy().reshape(3, -1)
    if options.unary == "labels":
        believed = p.argmax(axis=0) == np.arange(3)[:, None]
        p = np.where(believed, options.certainty, (1 - options.certainty) / 2)
    assert options.gaussian is not None
    assert options.bilateral is not None
    (near, smooth), (far, colour, look) = options.gaussian, options.bilateral
    pixels = image.numpy()
    kernels = [
        (lattice_matrix(features_of(pixels, near, None)), smooth),
        (lattice_matrix(features_of(pixels, far, colour)), look),
    ]
    expected = mean_field_by_pixel(-np.log(p), kernels, 1 - np.eye(3), options.iterations)
    assert np.array_equal(found.numpy().ravel(), expected.argmax(axis=0))
    assert not np.array_equal(found.numpy().ravel(), probabilities.numpy().reshape(3, -1).argmax(0))


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_nowhere_change_nothing(name: str) -> None:
    image, probabilities = pictured(1, (20, 30), 3)
    wider = torch.full((6, 20, 30), 1e-9)
    wider[[0, 2, 5]] = probabilities
    options = PRESETS[name]
    found = refine_probabilities(image, wider, options)
    alone = refine_probabilities(image, probabilities, options)
    if options.unary == "scores":
        assert torch.equal(found, torch.tensor([0, 2, 5], dtype=torch.uint8)[alone.long()])
    assert found.unique().tolist() in ([0, 2, 5], [0, 2], [0, 5], [2, 5], [0], [2], [5])


def test_one_label_stays() -> None:
    image = torch.randint(0, 256, (3, 11, 8), dtype=torch.uint8)
    probabilities = torch.tensor([0.1, 0.2, 0.7]).view(3, 1, 1).expand(3, 4, 4)
    assert torch.equal(
        refine_probabilities(image, probabilities), torch.full((11, 8), 2, dtype=torch.uint8)
    )


@pytest.mark.parametrize("name", NAMES)
def test_coarse_probabilities_find_the_edges(name: str) -> None:
    """A disc that a network sees on cells of eight pixels, a little too large."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(80), indexing="ij")
    disc = (rows - 30) ** 2 + (columns - 42) ** 2 < 18**2
    noise = torch.randint(0, 30, (3, 64, 80), dtype=torch.uint8)
    image = noise + (150 * disc).to(torch.uint8)
    grown = (rows - 30) ** 2 + (columns - 42) ** 2 < 22**2
    cells = functional.interpolate(grown[None, None].float(), (8, 10), mode="area")[0]
    probabilities = torch.cat([1 - cells, cells]).clamp(0.15, 0.85)
    plain = functional.interpolate(probabilities[None], (64, 80), mode="bilinear")[0].argmax(0)
    found = refine_probabilities(image, probabilities, PRESETS[name])
    wrong = [int((labels != disc).sum()) for labels in (found, plain)]
    assert wrong[0] < 0.5 * wrong[1]


def test_a_large_photograph_is_decided_on_a_smaller_grid_at_its_own_size() -> None:
    image, probabilities = pictured(2, (40, 60), 3)
    found = refine_probabilities(image, probabilities, CRFOptions(long_side=20))
    assert found.shape == (40, 60)
    assert found.dtype == torch.uint8
