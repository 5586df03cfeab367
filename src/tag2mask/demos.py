"""The two demonstrations: composed pictures with exact masks, and photographs that have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from PIL import Image
from rich.console import Console

from tag2mask.commands import compose_data, fit_and_tell
from tag2mask.criteria import MARKED
from tag2mask.data import DataOptions, Photo, open_data, read_image
from tag2mask.data.compose import ComposeOptions
from tag2mask.data.solar import write_solar
from tag2mask.evaluate import confusion, scores
from tag2mask.experiment import Experiment
from tag2mask.localize import LocalizeOptions
from tag2mask.report import overlay, sheet, write_jpeg
from tag2mask.segment import SegmentOptions
from tag2mask.storage import read_labels
from tag2mask.train import TrainOptions

QUICK: Final = 400  # photographs of solar cells
SHOWN: Final = 8  # of them on a sheet
OPACITY: Final = 0.35  # a crack is to be seen through its mask


@dataclass(frozen=True)
class DemoOptions:
    """The main job on a composed set of about 800 pictures."""

    out: Path = Path("runs/demo")
    """Folder for the composed pictures and the run."""
    quick: bool = False
    """Fewer pictures and steps: a look in under three minutes instead of twelve."""
    seed: int = 0
    """Decides the pictures and every random choice of the training."""


@dataclass(frozen=True)
class SolarOptions:
    """2,624 photographs of solar cells, tagged defective or not; nobody has drawn a mask."""

    out: Path = Path("runs/solar")
    """Folder for the table of tags and the run."""
    quick: bool = False
    """400 of the photographs and fewer steps."""
    seed: int = 0
    """Decides which photographs are held out and every random choice of the training."""


def demo(options: DemoOptions) -> None:
    """Compose pictures, learn from their tags, and score against their exact masks."""
    pictures = options.out / "pictures"
    count, held_out = (160, 60) if options.quick else (600, 200)
    made = ComposeOptions(images=count, test_images=held_out, seed=options.seed)
    if options.quick:
        made = replace(made, classes=4)
    compose_data(made, pictures)
    experiment = demo_experiment(pictures, options.quick, options.seed)
    fit_and_tell(experiment, options.out / "run")


def demo_experiment(pictures: Path, quick: bool, seed: int) -> Experiment:
    """The demo's options: sizes that two CPU cores can carry."""
    data = DataOptions(
        photos=pictures / "images",
        tags=pictures / "labels.csv",
        classes=pictures / "classes.txt",
        split="train",
        test_split="test",
        truth=pictures / "masks",
    )
    return Experiment(
        data,
        size=128 if quick else 160,
        train=TrainOptions(steps=60 if quick else 200),
        localize=LocalizeOptions(scales=(1.0, 1.5)),
        segment=SegmentOptions(scales=(1.0,)),
        network=TrainOptions(steps=60 if quick else 180, batch=12, zoom=(0.75, 1.5)),
        seed=seed,
        name="demo, quick" if quick else "demo",
    )


def demo_solar(options: SolarOptions) -> None:
    """Learn from tags alone where solar cells are defective, and show it; there is no score.

    Raises:
        InputError: the photographs' package is not installed.
    """
    most = QUICK if options.quick else None
    data = write_solar(options.out / "photographs", most, options.seed)
    run = options.out / "run"
    experiment = solar_experiment(data, options.quick, options.seed)
    fit_and_tell(experiment, run)
    console = Console()
    for line in (*_marked(experiment, run), *_sheets(experiment, run, options.out)):
        console.print(f"  {line}", soft_wrap=True, highlight=False)


def solar_experiment(data: DataOptions, quick: bool, seed: int) -> Experiment:
    """The options for solar cells: the whole cell, and maps as they are.

    A cell is one grey from busbar to busbar, so maps that follow the picture's edges fill it.
    """
    return Experiment(
        data,
        size=256,
        train=TrainOptions(steps=150 if quick else 400),
        localize=LocalizeOptions(scales=(1.0, 1.5)),
        refine="none",
        segment=SegmentOptions(scales=(1.0,), flip=False),
        network=TrainOptions(steps=80 if quick else 300, batch=8, zoom=(0.75, 1.5)),
        seed=seed,
        name="solar cells, quick" if quick else "solar cells",
    )


def _marked(experiment: Experiment, run: Path) -> Iterator[str]:
    """In how many held-out cells the network marks something: tags can be counted, masks cannot."""
    held_out = open_data(experiment.data).test
    for photos, kind in _by_tag(held_out.photos if held_out else ()):
        predicted = (read_labels(run / "predictions" / f"{p.id}.png") for p in photos)
        found = sum(float((labels != 0).float().mean()) >= MARKED for labels in predicted)
        yield f"held out and tagged {kind}: something is marked in {found} of {len(photos)}"


def _by_tag(photos: Sequence[Photo]) -> Iterator[tuple[list[Photo], str]]:
    yield [p for p in photos if p.tags], "defective"
    yield [p for p in photos if not p.tags], "functional"


def certainty(run: Path, photo: str) -> float:
    """How alike a photograph's pseudo mask and the network's are: their mIoU.

    Nobody drew a mask, so this is no measure of how right they are.
    """
    pseudo, predicted = (read_labels(run / n / f"{photo}.png") for n in ("masks", "predictions"))
    return scores(confusion(pseudo, predicted, 1)).miou


def _sheets(experiment: Experiment, run: Path, out: Path) -> Iterator[str]:
    """The most and the least certain of the defective cells, as pictures."""
    photos, _ = next(_by_tag(open_data(experiment.data).train.photos))
    ordered = sorted(photos, key=lambda photo: -certainty(run, photo.id))
    for name, chosen in (("most", ordered[:SHOWN]), ("least", ordered[-SHOWN:])):
        path = out / f"{name}-certain.jpg"
        write_jpeg(path, overlays(run, chosen))
        yield f"{path}  cells whose two masks are {name} alike: photograph, pseudo mask, network"


def overlays(run: Path, photos: Sequence[Photo], side: int = 200) -> Image.Image:
    """Three rows: photographs, pseudo masks over them, and the network's masks over them."""
    images = [read_image(photo.path) for photo in photos]
    rows = [images]
    for stage in ("masks", "predictions"):
        labels = [read_labels(run / stage / f"{photo.id}.png") for photo in photos]
        rows.append([overlay(i, each, OPACITY) for i, each in zip(images, labels, strict=True)])
    return sheet(rows, side)
