"""Train a method by hand: a folder of photographs and a table of tags, no pipeline.

    python examples/by_hand.py PHOTOS labels.csv OUT --method ssc --steps 100

The table has a line a photograph: its name without ending, and its tags (`a,dog cat`) under the
heading `id,tags`. Written are a palette PNG for every photograph, and the photograph with the mask
over it.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from tag2mask.data import read_image
from tag2mask.localize.maps import merge
from tag2mask.masks import threshold
from tag2mask.method import Method
from tag2mask.methods import METHODS
from tag2mask.nn.backbones import Backbone, BackboneOptions
from tag2mask.nn.superpixels import SuperpixelOptions, superpixels
from tag2mask.nn.views import resize
from tag2mask.refine import PAR
from tag2mask.report import overlay
from tag2mask.storage import write_labels
from tag2mask.types import Cue, TagBatch

BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("tags", type=Path)
    parser.add_argument("out", type=Path)
    ready = [name for name, room in METHODS.items() if room.needs <= {Cue.SUPERPIXELS}]
    parser.add_argument("--method", choices=ready, default="cam")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()

    with given.tags.open(newline="") as lines:
        named = {row["id"]: row["tags"].split() for row in csv.DictReader(lines)}
    classes = sorted({tag for tags in named.values() for tag in tags})
    files = {p.stem: p for p in sorted(given.photos.iterdir()) if p.stem in named}
    tags = torch.tensor([[c in named[photo] for c in classes] for photo in files])
    photos = [read_image(path) for path in files.values()]
    squares = torch.stack([resize(photo, (given.size, given.size)) for photo in photos]).float()

    room = METHODS[given.method]
    method = room(room.Options(), Backbone(BackboneOptions()), len(classes))
    train(method, squares, tags, given.steps)

    refine = PAR()
    for number, (name, photo) in enumerate(zip(files, photos, strict=True)):
        with torch.inference_mode():
            evidence = method.localize(squares[number : number + 1], tags[number : number + 1])
        present = tags[number].nonzero()[:, 0]
        size = (photo.shape[1], photo.shape[2])
        cams = merge(name, present + 1, [evidence[0, present]], size)
        labels = threshold(refine(photo, cams), background=0.4).labels
        write_labels(given.out / f"{name}.png", labels)
        painted = overlay(photo, labels).permute(1, 2, 0).numpy()
        Image.fromarray(painted).save(given.out / f"{name}.jpg")


def train(method: Method, images: Tensor, tags: Tensor, steps: int) -> None:
    """The loop of every method: named terms, their sum, one step of all optimizers."""
    cues = {}
    if Cue.SUPERPIXELS in method.needs:
        o, side = SuperpixelOptions(), images.shape[3]
        found = [superpixels(image.byte(), o, long_side=side) for image in images]
        cues = {Cue.SUPERPIXELS: torch.stack(found)}
    optimizers = method.optimizers()
    method.train()
    for step in range(steps):
        chosen = torch.randint(len(images), (BATCH,))
        shown = {cue: values[chosen] for cue, values in cues.items()}
        batch = TagBatch(tuple(map(str, chosen.tolist())), images[chosen], tags[chosen], shown)
        terms = method.losses(batch, progress=step / steps)
        torch.stack(list(terms.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if step % 10 == 0:
            print(step, {name: round(term.item(), 3) for name, term in terms.items()})
    method.eval()


if __name__ == "__main__":
    main()
