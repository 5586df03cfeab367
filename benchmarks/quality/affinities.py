"""What IRN has learned, as a picture: photograph, edges, displacements, maps before and after.

    python benchmarks/quality/affinities.py LEARNED=RUN... --photographs 1 --out affinity.jpg

RUN is a run of `tag2mask fit` with maps, LEARNED the folder that holds its `irn` (the run itself,
or what `refiners.py` keeps). Displacements are shown by colour, the hue for where they point to and
the strength for how far; the mean of the photograph is taken away.
"""

from __future__ import annotations

import argparse
import colorsys
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from masks import evenly
from PIL import Image
from torch import Tensor

from tag2mask.affinity import IRN
from tag2mask.data import open_data, read_image
from tag2mask.experiment import from_json
from tag2mask.learned import learned_refiner
from tag2mask.mapping import read_maps
from tag2mask.nn.views import resize, scaled_size
from tag2mask.runs import Run
from tag2mask.stages import Context
from tag2mask.storage import read_json

SIDE = 192  # pixels of a picture


def wheel(field: Float[Tensor, "2 h w"]) -> np.ndarray:
    """A displacement field as colours, h × w × 3 bytes."""
    field = field - field.mean(dim=(1, 2), keepdim=True)
    far = field.norm(dim=0)
    strength = (far / far.quantile(0.98).clamp(min=1e-6)).clamp(max=1)
    angles = torch.atan2(field[0], field[1]) / (2 * math.pi) % 1
    colours = np.vectorize(colorsys.hsv_to_rgb)(angles.numpy(), strength.numpy(), 1.0)
    return (255 * np.stack(colours, axis=-1)).astype(np.uint8)


def grey(values: Float[Tensor, "h w"]) -> np.ndarray:
    """Values from 0 to 1 as h × w × 3 bytes, dark where high."""
    shown = (255 * (1 - values.clamp(0, 1))).byte().numpy()
    return np.repeat(shown[..., None], 3, axis=-1)


def square(picture: np.ndarray) -> Image.Image:
    """A picture in a square, on white."""
    made = Image.fromarray(picture)
    scale = SIDE / max(made.size)
    made = made.resize(
        (round(made.width * scale), round(made.height * scale)), Image.Resampling.NEAREST
    )
    ground = Image.new("RGB", (SIDE, SIDE), "white")
    ground.paste(made, ((SIDE - made.width) // 2, (SIDE - made.height) // 2))
    return ground


@torch.no_grad()
def rows(learned: Path, run: Path, photographs: int) -> list[list[Image.Image]]:
    """A row for each of some photographs, evenly taken."""
    experiment = from_json(read_json(run / "experiment.json"))
    data = open_data(experiment.data)
    refiner = learned_refiner(Context(experiment, Run(learned), data), "irn")
    network = refiner.network
    if not isinstance(network, IRN):
        raise SystemExit(f"{learned} holds no IRN.")
    found = []
    for photo in evenly(data.train.photos, photographs):
        image, cams = read_image(photo.path), read_maps(run / "maps", photo.id)
        size = scaled_size((image.shape[1], image.shape[2]), experiment.size, network.pyramid.cell)
        edges, field = network.look(resize(image, size)[None].float())
        after = refiner(image, cams).maps.amax(dim=0)
        shown = (
            image.permute(1, 2, 0).numpy(),
            grey(edges[0]),
            wheel(field[0]),
            grey(cams.maps.amax(dim=0)),
            grey(after),
        )
        found.append([square(picture) for picture in shown])
    return found


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="LEARNED=RUN")
    parser.add_argument("--photographs", type=int, default=1, help="of each run")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    made = []
    for text in given.runs:
        learned, _, run = text.partition("=")
        made += rows(Path(learned), Path(run or learned), given.photographs)
    sheet = Image.new("RGB", (SIDE * len(made[0]), SIDE * len(made)), "white")
    for top, row in enumerate(made):
        for left, picture in enumerate(row):
            sheet.paste(picture, (left * SIDE, top * SIDE))
    sheet.save(given.out, quality=82)


if __name__ == "__main__":
    main()
