"""See the kinds of background that FBR finds: train it shortly, and draw the clusters' cells.

    python examples/kinds_of_background.py PHOTOS labels.csv OUT.jpg --steps 100 --most 100

Photographs and table as `by_hand.py` takes them. Every row of the picture is a photograph: as it
is, with all of its kinds of background in colours, then each kind alone, the largest first. What is
left is where the maps show a tagged class.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from by_hand import train
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tag2mask.data import read_image
from tag2mask.methods.fbr import FBR, FBROptions
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.clusters import cluster_centres
from tag2mask.nn.host import normalised
from tag2mask.nn.labels import cell_labels
from tag2mask.nn.views import resize
from tag2mask.storage import voc_palette
from tag2mask.types import BACKGROUND

ROWS, TILE, GAP = 6, 128, 4  # photographs drawn; pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("tags", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--most", type=int, default=100, help="photographs trained on")
    given = parser.parse_args()

    with given.tags.open(newline="") as lines:
        named = {row["id"]: row["tags"].split() for row in csv.DictReader(lines)}
    listed = [path for path in sorted(given.photos.iterdir()) if path.stem in named]
    files = listed[:: max(1, len(listed) // given.most)][: given.most]
    classes = sorted({tag for path in files for tag in named[path.stem]})
    tags = torch.tensor([[name in named[path.stem] for name in classes] for path in files])
    size = (given.size, given.size)
    squares = torch.stack([resize(read_image(path), size) for path in files]).float()

    torch.manual_seed(0)
    method = FBR(FBROptions(), Backbone(BackboneOptions()), len(classes))
    train(method, squares, tags, given.steps)
    shown = torch.arange(0, len(files), max(1, len(files) // ROWS))[:ROWS]
    kinds = kinds_of_cells(method, squares[shown], tags[shown])
    rows = [row(image, cells) for image, cells in zip(squares[shown], kinds, strict=True)]
    picture = torch.cat(rows, dim=1)[:, :-GAP]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.byte().permute(1, 2, 0).numpy()).save(given.out, quality=85)


@torch.no_grad()
def kinds_of_cells(method: FBR, images: Tensor, tags: Tensor) -> Tensor:
    """Which kind of background each cell is, the largest first; −1 where it is none."""
    features, responses = method.host(images)
    maps = normalised(responses, tags).flatten(2)
    inside = torch.ones_like(maps[:, 0], dtype=torch.bool)
    background = cell_labels(maps, inside, method.options.background) == BACKGROUND
    points = method.heads(features)[1].relu().permute(0, 2, 3, 1).flatten(1, 2)
    centres, there = cluster_centres(points, background, method.options.clusters)
    distances = torch.cdist(points, centres).masked_fill(~there[:, None], torch.inf)
    nearest = functional.one_hot(distances.argmin(dim=2), centres.shape[1])
    sizes = (nearest * background[..., None]).sum(dim=1)
    order = sizes.argsort(dim=1, descending=True).argsort(dim=1)
    kinds = (nearest * order[:, None]).sum(dim=2).where(background, -1)
    return kinds.unflatten(1, features.shape[2:])


def row(image: Tensor, kinds: Tensor) -> Tensor:
    """A photograph, all of its kinds, and each alone."""
    small = functional.interpolate(image[None], (TILE, TILE), mode="bilinear", antialias=True)[0]
    cells = functional.interpolate(kinds[None, None].float(), (TILE, TILE))[0, 0].long()
    colours = torch.from_numpy(voc_palette()).float()[cells + 1].permute(2, 0, 1)
    tiles = [small, torch.where(cells >= 0, torch.lerp(small, colours, 0.6), small)]
    dim = 0.25 * small + 150
    tiles += [torch.where(cells == kind, small, dim) for kind in range(int(kinds.max()) + 1)]
    padded = [functional.pad(tile, (0, GAP, 0, GAP), value=255.0) for tile in tiles]
    whole = torch.cat(padded, dim=2)
    width = (2 + FBROptions().clusters) * (TILE + GAP)
    return functional.pad(whole, (0, width - whole.shape[2]), value=255.0).clamp(0, 255)


if __name__ == "__main__":
    main()
