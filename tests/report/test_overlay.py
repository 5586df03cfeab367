import base64
import io

import numpy as np
import pytest
import torch
from oracles.overlay import overlay_by_pixel
from PIL import Image

from tag2mask.report.overlay import (
    encode,
    heat,
    heat_table,
    object_colours,
    overlay,
    thumbnail,
    thumbnail_labels,
)
from tag2mask.storage import voc_palette
from tag2mask.types import UNKNOWN


def photo(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 17)])
@pytest.mark.parametrize("opacity", [0.0, 0.55, 1.0])
def test_overlay_agrees_with_a_loop_over_pixels(size: tuple[int, int], opacity: float) -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 0, 1, 1, 2, 20, UNKNOWN], dtype=torch.uint8)
    coarse = labels[
        torch.randint(0, 7, ((size[0] + 3) // 4, (size[1] + 3) // 4), generator=generator)
    ]
    labels = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)[: size[0], : size[1]]
    image = photo(*size)
    found = overlay(image, labels, opacity).numpy().astype(int)
    expected = overlay_by_pixel(image.numpy(), labels.numpy(), opacity)
    assert np.abs(found - expected).max() <= 1  # halves may round either way


def test_colours_are_those_of_voc_and_background_is_untouched() -> None:
    image = photo(9, 9)
    labels = torch.zeros(9, 9, dtype=torch.uint8)
    labels[2:7, 2:7] = 15
    painted = overlay(image, labels, opacity=1.0)
    assert painted[:, 4, 4].tolist() == voc_palette()[15].tolist() == [192, 128, 128]
    assert torch.equal(painted[:, labels == 0], image[:, labels == 0])


def test_objects_of_a_class_have_shades_of_its_colour() -> None:
    colours = object_colours([15, 2, 15]).astype(int)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[1].tolist() == voc_palette()[15].tolist()
    assert colours[2].tolist() == voc_palette()[2].tolist()
    nearer = (255 - colours[3]) / (255 - colours[1])  # to white, alike in every channel
    assert np.ptp(nearer) < 0.01
    assert 0.3 < nearer.mean() < 0.6
    assert len({tuple(row) for row in object_colours([1] * 4).tolist()}) == 5


def test_objects_that_touch_are_parted_by_a_line() -> None:
    image = photo(9, 12)
    ids = torch.zeros(9, 12, dtype=torch.uint8)
    ids[2:7, 1:6], ids[2:7, 6:11] = 1, 2
    painted = overlay(image, ids, opacity=1.0, colours=object_colours([15, 15]))
    assert painted[:, 4, 3].tolist() == object_colours([15, 15])[1].tolist()
    assert painted[:, 4, 8].tolist() == object_colours([15, 15])[2].tolist()
    assert painted[:, 4, 5].min() > 240
    assert painted[:, 4, 6].min() > 240
    assert torch.equal(painted[:, ids == 0], image[:, ids == 0])


def test_unknown_is_grey_and_striped() -> None:
    unknown = torch.full((16, 16), UNKNOWN, dtype=torch.uint8)
    painted = overlay(photo(16, 16), unknown, opacity=1.0)
    assert torch.equal(painted[0], painted[1])
    assert torch.equal(painted[1], painted[2])
    assert len(painted.unique()) == 2


def test_heat_of_an_even_map_is_an_even_blend() -> None:
    image = photo(5, 6)
    for evidence, step in ((0.0, 0), (1.0, 255)):
        seen = heat(image, torch.full((2, 3), evidence, dtype=torch.float16), opacity=0.5)
        expected = 0.5 * image.double() + 0.5 * heat_table()[step].double()[:, None, None]
        assert (seen.double() - expected).abs().max() <= 0.5 + 1e-4


def test_heat_is_brightest_where_the_evidence_is() -> None:
    grid = torch.zeros(4, 4)
    grid[1, 2] = 1.0
    seen = heat(torch.full((3, 40, 40), 128, dtype=torch.uint8), grid).float().mean(0)
    row, column = divmod(int(seen.argmax()), 40)
    assert 10 <= row < 20
    assert 20 <= column < 30
    # Cells are areas: the peak is in the middle of its cell, as without aligned corners.
    assert seen[14, 24] == seen[15, 25] == seen.max()


def test_more_evidence_is_always_brighter() -> None:
    brightness = heat_table() @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (brightness.diff() > 0).all()


def test_thumbnails_shrink_and_never_enlarge() -> None:
    assert thumbnail(photo(100, 50), 20).shape == (3, 20, 10)
    assert thumbnail(photo(1, 900), 90).shape == (3, 1, 90)
    small = photo(10, 12)
    assert torch.equal(thumbnail(small, 224), small)
    labels = torch.tensor([[0, 255]], dtype=torch.uint8).repeat_interleave(60, 1).expand(99, 120)
    shrunk = thumbnail_labels(labels, 30)
    assert shrunk.shape == (25, 30)
    assert shrunk.unique().tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["webp", "jpeg", "png"])
def test_encoded_pictures_are_what_they_say(kind: str) -> None:
    image = photo(4, 5).float().mean(0, keepdim=True).mean().round().byte().expand(3, 4, 5)
    head, body = encode(image, kind).split(",")
    assert head == f"data:image/{kind};base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
        assert picture.format == kind.upper()
        decoded = np.array(picture.convert("RGB")).astype(int)
    assert np.abs(decoded - image.permute(1, 2, 0).numpy()).max() <= 4


def test_png_is_exact() -> None:
    image = photo(7, 3)
    body = encode(image, "png").split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(body))) as picture:
        assert np.array_equal(np.array(picture), image.permute(1, 2, 0).numpy())
