"""The stage that makes seeds: labels of which a classifier trained first is sure."""

from __future__ import annotations

from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from tag2mask.data import read_image
from tag2mask.experiment import Experiment
from tag2mask.mapping import read_maps
from tag2mask.nn.seeds import SeedOptions
from tag2mask.progress import track
from tag2mask.refine import irn_labels
from tag2mask.runs import Stage
from tag2mask.stages import Context, usable
from tag2mask.storage import write_labels
from tag2mask.train import prefetch


def levels(experiment: Experiment) -> SeedOptions:
    """The levels that a method with seeds gives in its options, as `seeds`."""
    options: Any = experiment.method
    found: SeedOptions = options.seeds
    return found


def make_seeds(context: Context, stage: Stage) -> None:
    """Labels of every training photograph from the first classifier's maps, 255 where unsure."""
    photos, chosen = usable(context, context.data.train), levels(context.experiment)
    maps = context.run.folder / "first-maps"
    todo = [photo for photo in photos if not stage.file(photo.id, ".png").is_file()]

    def made(number: int) -> tuple[str, UInt8[Tensor, "H W"]]:
        photo = todo[number]
        image, cams = read_image(photo.path), read_maps(maps, photo.id)
        return photo.id, irn_labels(image, cams, chosen.foreground, chosen.background)

    stream = prefetch(made, 0, len(todo))
    for photo, labels in track(stream, "seeds", len(photos), len(photos) - len(todo)):
        write_labels(stage.file(photo, ".png"), labels)
