"""Pictures and labels move alike; what is no picture is unknown."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tag2mask.nn.padding import PAD_COLOUR
from tag2mask.train.augment import augment, draw_view
from tag2mask.types import NO_REGION, UNKNOWN

BANDS = 8
ZOOM = (0.5, 1.6)


def ramp(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Red tells the row, green the column; the label tells both, in bands."""
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    image = torch.zeros(3, height, width)
    image[0], image[1] = 255 * rows[:, None], 255 * columns[None]
    labels = BANDS * (rows * BANDS).long()[:, None] + (columns * BANDS).long()[None]
    return image.round().to(torch.uint8), labels.to(torch.uint8)


@pytest.mark.parametrize("size", [(64, 96), (97, 65), (48, 48), (200, 31)])
def test_every_pixel_keeps_its_label(size: tuple[int, int]) -> None:
    image, labels = ramp(*size)
    compared = 0
    for seed in range(25):
        view, moved = augment(image, labels, 48, ZOOM, np.random.default_rng(seed))
        assert moved is not None
        row, column = (view[c].double() / 255 * BANDS for c in (0, 1))
        far = [(x - x.round()).abs() > 0.2 for x in (row, column)]  # 2.5 % off a band's border
        clear = far[0] & far[1] & (moved != UNKNOWN)
        expected = BANDS * row.long() + column.long()
        assert torch.equal(moved.long()[clear], expected[clear])
        compared += int(clear.sum())
    assert compared > 2000


def test_padding_is_unknown_and_of_the_mean_colour() -> None:
    image, labels = ramp(40, 60)
    for seed in range(25):
        view, moved = augment(image, labels, 48, (0.4, 0.9), np.random.default_rng(seed))
        assert moved is not None
        padded = (view == torch.tensor(PAD_COLOUR, dtype=torch.uint8).view(3, 1, 1)).all(dim=0)
        assert torch.equal(padded, moved == UNKNOWN)
        assert padded.any()


def test_labels_do_not_change_what_is_drawn() -> None:
    image, labels = ramp(40, 60)
    for seed in range(10):
        with_labels = augment(image, labels, 48, ZOOM, np.random.default_rng(seed))[0]
        without, nothing = augment(image, None, 48, ZOOM, np.random.default_rng(seed))
        assert nothing is None
        assert torch.equal(with_labels, without)


def test_half_of_the_views_are_mirrored() -> None:
    image, _ = ramp(48, 48)
    mirrored = 0
    for seed in range(400):
        view, _ = augment(image, None, 48, (1.0, 1.0), np.random.default_rng(seed))
        mirrored += bool(view[1, 24, 0] > view[1, 24, -1])
    assert abs(mirrored - 200) < 50  # five deviations


def test_the_long_side_is_drawn_from_its_range() -> None:
    """Also: the picture keeps its shape, and every place is as good as another."""
    image, labels = ramp(50, 100)
    widths, places = [], set()
    for seed in range(300):
        _, moved = augment(image, labels, 40, (0.5, 0.9), np.random.default_rng(seed))
        assert moved is not None
        inside = moved != UNKNOWN
        height, width = int(inside.any(dim=1).sum()), int(inside.any(dim=0).sum())
        assert abs(height - width / 2) <= 1
        widths.append(width)
        places.add(int(inside.any(dim=0).nonzero()[0]))
    assert (min(widths), max(widths)) == (20, 36)
    assert places >= set(range(18))  # 20 only where the picture is smallest


def test_crops_reach_every_border() -> None:
    image, _ = ramp(100, 100)
    views = [augment(image, None, 40, (1.2, 1.2), np.random.default_rng(s))[0] for s in range(200)]
    assert min(int(view[0].min()) for view in views) < 5
    assert max(int(view[0].max()) for view in views) > 250


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_very_thin_pictures_work(size: tuple[int, int]) -> None:
    image, labels = ramp(*size)
    view, moved = augment(image, labels, 32, ZOOM, np.random.default_rng(0))
    assert moved is not None
    assert view.shape == (3, 32, 32)
    assert bool((moved != UNKNOWN).any())


def test_regions_move_with_the_picture() -> None:
    """Region numbers painted as grey levels make a picture that moves as they do."""
    blocks = torch.arange(24).view(4, 6).repeat_interleave(20, 0).repeat_interleave(20, 1)
    image = (10 * blocks).to(torch.uint8).repeat(3, 1, 1)
    for seed in range(20):
        view = draw_view((80, 120), 64, (0.6, 1.6), np.random.default_rng(seed))
        picture, regions = view.photograph(image), view.labels(blocks, NO_REGION)
        assert regions.dtype == torch.int64
        inside = regions != NO_REGION
        ground = torch.tensor(PAD_COLOUR, dtype=torch.uint8)[:, None]
        assert bool((picture[:, ~inside] == ground).all())
        same = (picture[0, inside].long() - 10 * regions[inside]).abs() <= 5
        assert float(same.double().mean()) > 0.75  # all but the blurred edges


def test_saliency_moves_with_the_picture_and_is_zero_around_it() -> None:
    """A grey picture is its own saliency."""
    rows, columns = torch.arange(80)[:, None] / 79, torch.arange(120)[None] / 119
    given = (rows * columns + rows) / 2
    image = (255 * given).round().to(torch.uint8).repeat(3, 1, 1)
    for seed in range(20):
        view = draw_view((80, 120), 64, (0.6, 1.6), np.random.default_rng(seed))
        inside = view.labels(torch.zeros(80, 120, dtype=torch.uint8), UNKNOWN) != UNKNOWN
        for values in (given, given[::2, ::2]):
            found = view.saliency(values)
            assert bool((found[~inside] == 0).all())
            gap = (found - view.photograph(image)[0] / 255).abs()[inside]
            assert float(gap.max()) < (0.01 if values is given else 0.05)


def test_regions_of_a_smaller_grid_cover_the_same_photograph() -> None:
    blocks = torch.arange(24).view(4, 6)
    whole = blocks.repeat_interleave(20, 0).repeat_interleave(20, 1)
    for seed in range(10):
        view = draw_view((80, 120), 64, (1.0, 1.0), np.random.default_rng(seed))
        found, expected = view.labels(blocks, NO_REGION), view.labels(whole, NO_REGION)
        assert torch.equal(found != NO_REGION, expected != NO_REGION)
        assert float((found == expected).double().mean()) > 0.95
