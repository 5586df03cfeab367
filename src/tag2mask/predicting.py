"""Masks for new photographs from a run's network, in bounded memory, gone on with where it stopped.

Photographs are taken in natural order (frame 2 before frame 10), a window at a time; in a window
those of one size go through the network together. No more than a few are held decoded.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from torch import Tensor

from tag2mask import instances
from tag2mask.data import Photo, image_size, read_image
from tag2mask.errors import InputError
from tag2mask.evaluate import mask_boxes
from tag2mask.evaluate.components import SHARE
from tag2mask.experiment import Experiment, from_json
from tag2mask.export import write_coco_boxes
from tag2mask.nn.parts import numbered, sure
from tag2mask.progress import track
from tag2mask.report import SURE, object_colours, overlay, thumbnail, thumbnail_labels
from tag2mask.runs import Run, existing_run, stamp_of
from tag2mask.stages import Pictured, load_network, segmented, segmenting_stage
from tag2mask.storage import (
    read_instances,
    read_json,
    read_labels,
    write_instances,
    write_json,
    write_labels,
    write_picture,
    write_text,
)
from tag2mask.train import prefetch
from tag2mask.types import Boxes, Size

STAMP_FILE: Final = "predict.json"
BOX_FILE: Final = "boxes.json"
OVERLAYS: Final = "overlays"
OBJECT_OVERLAYS: Final = "object-overlays"
OVERLAY_SIDE: Final = 1600  # pixels of an overlay's longer side at most: a picture to look at
PICTURES: Final = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm"}
WINDOW: Final = 128  # photographs among which those of one size are found
BATCH_PIXELS: Final = 8 << 20  # a batch of large photographs is a short one


@dataclass(frozen=True)
class PredictOptions:
    """Masks for new photographs; no tags are needed."""

    run: Path
    """Folder of a run."""
    images: tuple[Path, ...]
    """Photographs, folders of them (with all folders inside), or patterns such as "day-*/*.jpg"."""
    out: Path
    """Folder for the palette PNGs; the same command goes on where it stopped."""
    overlay: bool = False
    """Write overlays/*.jpg too: the photographs, at most 1600 pixels wide or high, with their
    masks in colour and a contour around them; with --instances object-overlays/*.jpg as well."""
    skip_bad: bool = False
    """Leave out, and count, photographs that cannot be read."""
    boxes: bool = False
    """Write boxes.json too, in COCO's format: a box around every component of every class."""
    box_share: float = SHARE
    """Components below this share of the photograph have no box, save a class's largest."""
    instances: bool = False
    """Write instances.json too, in COCO's format: every object with its mask, by the run's
    instance network (of `tag2mask fit ... --instances`)."""


def predict(options: PredictOptions) -> None:
    """Masks for new photographs from a run's network; overlays and boxes where they are wanted.

    Raises:
        InputError: the run, a photograph or the folder cannot be used; masks that were made stay.
    """
    if not 0 <= options.box_share <= 1:
        raise InputError(f"--box-share {options.box_share} came; expected a share from 0 to 1.")
    run, experiment = finished_run(options.run)
    if options.instances:
        _claim_objects(options)
    classes = read_json(run.folder / "classes.json")
    photos = find_photographs(options.images, options.out)
    _refuse_twins(photos)
    _claim(options, experiment, photos)
    bad = _write_masks(options, run, experiment, len(classes), photos)
    for reason in bad.values():
        line = f"skipped: {reason}"
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
    if bad and not options.skip_bad:
        raise InputError(
            f"{len(bad)} of {len(photos)} photographs cannot be read (listed above); all others "
            "have their masks. Repair these or take them away, or leave them out with --skip-bad."
        )
    photos = [photo for photo in photos if photo.id not in bad]
    console = Console()
    console.print(f"{len(photos)} masks in {options.out}", highlight=False, soft_wrap=True)
    if options.overlay:
        console.print(f"overlays in {options.out / OVERLAYS}", highlight=False, soft_wrap=True)
    if options.boxes:
        count = _write_boxes(options, classes, photos)
        written = options.out / BOX_FILE
        console.print(f"{count} boxes in {written}", highlight=False, soft_wrap=True)
    if options.instances:
        count = _write_instances(options, run, experiment, classes, photos)
        written = options.out / instances.TABLE
        if options.overlay:
            _draw_objects(options.out, photos)
        console.print(f"{count} objects in {written}", highlight=False, soft_wrap=True)


def _write_instances(
    options: PredictOptions,
    run: Run,
    experiment: Experiment,
    classes: Sequence[str],
    photos: Sequence[Photo],
) -> int:
    """Objects of photographs that have none yet, then the table of all; how many there are."""
    folder = options.out / instances.OBJECTS
    todo = [photo for photo in photos if not _is_newer(folder / f"{photo.id}.json", photo.path)]
    if todo:
        network = instances.load_detector(experiment, run, len(classes))
        windows = (todo[start : start + WINDOW] for start in range(0, len(todo), WINDOW))
        pictured = (b for w in windows for b in decoded(w, experiment.segment.batch, {}))
        stream = instances.detected(experiment, network, pictured)
        for found in track(stream, "instances", len(photos), len(photos) - len(todo)):
            write_instances(folder / f"{found.id}.json", found)
    return instances.gather(options.out, classes, photos)


def _draw_objects(out: Path, photos: Sequence[Photo]) -> None:
    """Draw the sure objects of every photograph, a shade each; what is drawn is not drawn again."""
    found = {photo.id: out / instances.OBJECTS / f"{photo.id}.json" for photo in photos}
    files = {photo.id: overlay_file(out, photo.id, OBJECT_OVERLAYS) for photo in photos}
    todo = [p for p in photos if not _is_newer(files[p.id], found[p.id])]
    images = prefetch(lambda number: read_image(todo[number].path), 0, len(todo))
    stream = track(images, "object overlays", len(photos), len(photos) - len(todo))
    for photo, image in zip(todo, stream, strict=True):
        ids, classes = numbered(sure(read_instances(found[photo.id]), SURE))
        write_picture(files[photo.id], looked_at(image, ids, object_colours(classes)))


def _is_newer(path: Path, source: Path) -> bool:
    return path.is_file() and path.stat().st_mtime >= source.stat().st_mtime


def _claim_objects(options: PredictOptions) -> None:
    """Say which instance network's objects are in the folder.

    Raises:
        InputError: the run has none, or another one's objects are there.
    """
    trained = options.run / instances.NETWORK / "stamp"
    if not trained.is_file():
        raise InputError(
            f"The run {options.run} has no instance network; train one with tag2mask fit ... "
            "--refine irn --instances, or leave --instances out."
        )
    known, stamp = options.out / instances.OBJECTS / "stamp", trained.read_text("utf-8")
    if known.is_file() and known.read_text("utf-8") != stamp:
        raise InputError(
            f"--out {options.out} holds objects by another instance network; give another folder, "
            "or remove this one."
        )
    write_text(known, stamp)


def finished_run(folder: Path) -> tuple[Run, Experiment]:
    """A run whose segmentation is trained.

    Raises:
        InputError: there is none, or its training did not end.
    """
    run = existing_run(folder)
    experiment = from_json(read_json(run.folder / "experiment.json"))
    if not (run.folder / segmenting_stage(experiment) / "stamp").is_file():
        raise InputError(f"The run {folder} has no finished network; run its fit to the end.")
    return run, experiment


# --- which photographs ----------------------------------------------------------------------


def find_photographs(places: Sequence[Path], out: Path) -> list[Photo]:
    """The photographs of files, folders and patterns, each in natural order.

    Args:
        out: what lies in it is no photograph.

    Raises:
        InputError: a place that is not there, or holds no photograph.
    """
    found: list[Photo] = []
    for place in places:
        if place.is_dir():
            paths = [p for p in place.rglob("*") if _is_picture(p) and not p.is_relative_to(out)]
            names = [(path.relative_to(place).with_suffix("").as_posix(), path) for path in paths]
        elif place.is_file():
            names = [(place.stem, place)]
        else:
            paths = [Path(path) for path in glob.glob(str(place), recursive=True)]  # noqa: PTH207
            if not paths:
                raise InputError(
                    f"{place} is not there; give photographs, folders of them or a pattern."
                )
            names = [(path.stem, path) for path in paths if _is_picture(path)]
        if not names:
            raise InputError(f"There are no photographs in {place}; give a folder with some.")
        ordered = sorted(names, key=lambda pair: natural(pair[0]))
        found += [Photo(name, path, ()) for name, path in ordered]
    return found


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """A key by which numbers in names count as numbers: frame 2 comes before frame 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part)) if part[0] in "0123456789" else (1, part) for part in parts)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def _refuse_twins(photos: Sequence[Photo]) -> None:
    seen: dict[str, Path] = {}
    for photo in photos:
        if photo.id in seen:
            raise InputError(
                f"{photo.path} and {seen[photo.id]} would write the same mask; "
                "predict them into different folders."
            )
        seen[photo.id] = photo.path


# --- whose masks are in the folder ----------------------------------------------------------


def _claim(options: PredictOptions, experiment: Experiment, photos: Sequence[Photo]) -> None:
    """Say in the folder which network writes into it.

    Raises:
        InputError: another one did, or a file that is no mask of ours would be taken for one.
    """
    known, stage = options.out / STAMP_FILE, options.run / segmenting_stage(experiment)
    network, look = (stage / "stamp").read_text(encoding="utf-8"), experiment.segment
    views = {"size": experiment.size, "scales": look.scales, "flip": look.flip}
    stamp = stamp_of(network=network, crf=look.crf, **views)
    if known.is_file():
        before: dict[str, Any] = read_json(known)
        if before.get("stamp") != stamp:
            raise InputError(
                f"--out {options.out} holds masks by another network or with other options (run "
                f"{before.get('run')}); give another folder, or remove this one."
            )
        return
    for photo in photos:
        if (options.out / f"{photo.id}.png").exists():
            raise InputError(
                f"{options.out / photo.id}.png is there, and `tag2mask predict` did not make it; "
                "give an --out folder of its own."
            )
    write_json(known, {"run": str(options.run), "stamp": stamp})


# --- the work -------------------------------------------------------------------------------


def _write_masks(
    options: PredictOptions, run: Run, experiment: Experiment, classes: int, photos: Sequence[Photo]
) -> dict[str, str]:
    """Write what is not there yet; why photographs could not be read, by id."""
    bad: dict[str, str] = {}
    todo = [photo for photo in photos if not _is_done(options, photo)]
    if not todo:
        return bad
    network = load_network(experiment, run, classes)
    most = experiment.segment.batch
    windows = (todo[start : start + WINDOW] for start in range(0, len(todo), WINDOW))
    pictured = (batch for window in windows for batch in decoded(window, most, bad))
    done = len(photos) - len(todo)
    for image, mask in track(segmented(experiment, network, pictured), "masks", len(photos), done):
        if options.overlay:
            write_picture(overlay_file(options.out, mask.id), looked_at(image, mask.labels))
        write_labels(options.out / f"{mask.id}.png", mask.labels)
    return bad


def decoded(window: Sequence[Photo], most: int, bad: dict[str, str]) -> Iterator[list[Pictured]]:
    """Photographs in batches of one size, a few decoded ahead.

    Args:
        most: photographs in a batch; fewer where they are large.
        bad: takes why a photograph cannot be read, by id.
    """
    groups: dict[Size, list[Photo]] = {}
    for photo in window:
        try:
            groups.setdefault(image_size(photo.path), []).append(photo)
        except InputError as error:
            bad[photo.id] = str(error)
    batches = [
        group[start : start + length]
        for (height, width), group in groups.items()
        for length in [max(1, min(most, BATCH_PIXELS // (height * width)))]
        for start in range(0, len(group), length)
    ]

    def read(number: int) -> list[Pictured]:
        readable = []
        for photo in batches[number]:
            try:
                readable.append((photo, read_image(photo.path)))
            except InputError as error:
                bad[photo.id] = str(error)
        return readable

    yield from prefetch(read, 0, len(batches))


def _is_done(options: PredictOptions, photo: Photo) -> bool:
    """Whether everything that is wanted is there and not older than the photograph."""
    wanted = [options.out / f"{photo.id}.png"]
    if options.overlay:
        wanted.append(overlay_file(options.out, photo.id))
    return photo.path.exists() and all(_is_newer(path, photo.path) for path in wanted)


def overlay_file(out: Path, photo: str, folder: str = OVERLAYS) -> Path:
    """Where the overlay of a photograph is."""
    return out / folder / f"{photo}.jpg"


def looked_at(
    image: UInt8[Tensor, "3 H W"],
    labels: UInt8[Tensor, "H W"],
    colours: UInt8[np.ndarray, "_ 3"] | None = None,
) -> UInt8[Tensor, "3 h w"]:
    """The overlay, of a size for looking at."""
    if max(labels.shape) > OVERLAY_SIDE:
        image, labels = thumbnail(image, OVERLAY_SIDE), thumbnail_labels(labels, OVERLAY_SIDE)
    return overlay(image, labels, colours=colours)


def _write_boxes(options: PredictOptions, classes: Sequence[str], photos: Sequence[Photo]) -> int:
    """Boxes of the masks that were written, now or before."""

    def found() -> Iterator[tuple[str, Boxes]]:
        for photo in photos:
            labels = read_labels(options.out / f"{photo.id}.png")
            name = f"{photo.id}{photo.path.suffix}"
            yield name, mask_boxes(photo.id, labels, options.box_share)

    return write_coco_boxes(options.out / BOX_FILE, classes, found())
