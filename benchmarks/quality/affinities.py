"""What IRN has learned, as a picture: photograph, edges, displacements, maps before and after.

    python benchmarks/quality/affinities.py LEARNED=RUN... --photographs 1 --out affinity.jpg

RUN is a run of `tag2mask fit` with maps, LEARNED the folder that holds its `irn` (the run itself,
or what `refiners.py` keeps). Displacements are shown by colour, the hue for where they point to and
the strength for how far; the mean of the photograph is taken away. `--objects` shows objects in
place of maps: the pseudo mask's and the true ones.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from masks import evenly
from torch import Tensor

from tag2mask.affinity import IRN
from tag2mask.data import open_data, read_image
from tag2mask.experiment import from_json
from tag2mask.instances import pseudo_instances, true_instances
from tag2mask.learned import learned_refiner
from tag2mask.mapping import read_maps
from tag2mask.nn.parts import numbered
from tag2mask.nn.views import resize, scaled_size
from tag2mask.report.overlay import object_colours, overlay
from tag2mask.report.sheet import sheet, write_jpeg
from tag2mask.runs import Run
from tag2mask.stages import Context
from tag2mask.storage import read_json
from tag2mask.types import Instances

SIDE = 160  # pixels of a picture


def wheel(field: Float[Tensor, "2 h w"]) -> UInt8[Tensor, "3 h w"]:
    """A displacement field as colours."""
    field = field - field.mean(dim=(1, 2), keepdim=True)
    far = field.norm(dim=0)
    strength = (far / far.quantile(0.98).clamp(min=1e-6)).clamp(max=1)
    angles = torch.atan2(field[0], field[1]) / (2 * math.pi) % 1
    colours = np.vectorize(colorsys.hsv_to_rgb)(angles.numpy(), strength.numpy(), 1.0)
    return torch.from_numpy((255 * np.stack(colours)).astype(np.uint8))


def grey(values: Float[Tensor, "h w"]) -> UInt8[Tensor, "3 h w"]:
    """Values from 0 to 1, dark where high."""
    return (255 * (1 - values.clamp(0, 1))).byte().expand(3, -1, -1)


def told_apart(image: UInt8[Tensor, "3 H W"], found: Instances) -> UInt8[Tensor, "3 H W"]:
    """Objects on their photograph, a shade of their class's colour each."""
    ids, classes = numbered(found)
    return overlay(image, ids, colours=object_colours(classes))


@torch.no_grad()
def rows(
    learned: Path, run: Path, photographs: int, objects: bool
) -> list[list[UInt8[Tensor, "3 _ _"]]]:
    """A row for each of some photographs, evenly taken."""
    experiment = from_json(read_json(run / "experiment.json"))
    data = open_data(experiment.data)
    context = Context(experiment, Run(learned), data)
    refiner = learned_refiner(context, "irn")
    network = refiner.network
    if not isinstance(network, IRN):
        raise SystemExit(f"{learned} holds no IRN.")
    found = []
    for photo in evenly(data.train.photos, photographs):
        image, cams = read_image(photo.path), read_maps(run / "maps", photo.id)
        size = scaled_size((image.shape[1], image.shape[2]), experiment.size, network.pyramid.cell)
        edges, field = network.look(resize(image, size)[None].float())
        shown = [image, grey(edges[0]), wheel(field[0])]
        if objects:
            pair = pseudo_instances(run, photo), true_instances(context, photo)
            shown += [told_apart(image, one) for one in pair]
        else:
            after = refiner(image, cams).maps.amax(dim=0)
            shown += [grey(cams.maps.amax(dim=0)), grey(after)]
        found.append(shown)
    return found


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="LEARNED=RUN")
    parser.add_argument("--photographs", type=int, default=1, help="of each run")
    parser.add_argument("--objects", action="store_true", help="in place of maps")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    made = []
    for text in given.runs:
        learned, _, run = text.partition("=")
        made += rows(Path(learned), Path(run or learned), given.photographs, given.objects)
    write_jpeg(given.out, sheet(made, SIDE), quality=82)


if __name__ == "__main__":
    main()
