"""The stage that makes seeds: labels of which maps are sure, 255 where they are not."""

from __future__ import annotations

from typing import Any, Final

from jaxtyping import UInt8
from torch import Tensor

from tag2mask.data import read_image
from tag2mask.experiment import Experiment, to_json
from tag2mask.mapping import peaks, reader
from tag2mask.masks import blind_level
from tag2mask.nn.seeds import SeedOptions
from tag2mask.progress import track
from tag2mask.refine import irn_labels
from tag2mask.runs import Stage
from tag2mask.stages import Context, usable
from tag2mask.storage import write_json, write_labels
from tag2mask.train import prefetch

ABOVE: Final = 0.2
BELOW: Final = 0.5


def levels(experiment: Experiment) -> SeedOptions:
    """The levels that a method with seeds gives in its options, as `seeds`."""
    options: Any = experiment.method
    found: SeedOptions = options.seeds
    return found


def blind_seeds(level: float) -> SeedOptions:
    """Levels above and below the blind level of the maps."""
    return SeedOptions(level + ABOVE * (1 - level), level * BELOW)


def make_seeds(context: Context, stage: Stage, source: str, chosen: SeedOptions | None) -> None:
    """Labels of every training photograph from the maps of a stage, 255 where unsure.

    Args:
        source: the stage whose maps are asked.
        chosen: levels; None for blind ones.
    """
    photos = usable(context, context.data.train)
    read, maps = reader(source), context.run.folder / source
    if chosen is None:
        chosen = blind_seeds(blind_level(peaks(read(maps, photo.id) for photo in photos)))
    write_json(stage.folder / "levels.json", to_json(chosen))
    todo = [photo for photo in photos if not stage.file(photo.id, ".png").is_file()]

    def made(number: int) -> tuple[str, UInt8[Tensor, "H W"]]:
        photo = todo[number]
        image, cams = read_image(photo.path), read(maps, photo.id)
        return photo.id, irn_labels(image, cams, chosen.foreground, chosen.background)

    stream, title = prefetch(made, 0, len(todo)), stage.folder.name.replace("-", " ")
    for photo, labels in track(stream, title, len(photos), len(photos) - len(todo)):
        write_labels(stage.file(photo, ".png"), labels)
