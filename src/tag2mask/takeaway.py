"""A run's network and masks for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from rich.console import Console

from tag2mask.data import Photo, open_data
from tag2mask.data.voc import VOC_CLASSES
from tag2mask.errors import InputError
from tag2mask.experiment import from_json
from tag2mask.export import (
    Labelled,
    pack_voc_server,
    write_coco_masks,
    write_cvat,
    write_label_studio,
    write_voc,
)
from tag2mask.export.graph import write_onnx
from tag2mask.export.label_studio import LOCAL
from tag2mask.method import SingleStage
from tag2mask.predicting import finished_run
from tag2mask.progress import track
from tag2mask.runs import existing_run
from tag2mask.stages import Context, load_network, usable
from tag2mask.storage import read_json, read_labels

FOLDER: Final = "export"
What = Literal["masks", "predictions", "test"]


@dataclass(frozen=True)
class ExportOptions:
    """What of a run other programs are to read, and in which formats."""

    run: Path
    """Folder of a run."""
    out: Path | None = None
    """Folder to write into; RUN/export without it."""
    what: What = "predictions"
    """masks: the pseudo masks of the training photographs. predictions: the network's, of all
    photographs. test: the network's, of the held-out ones."""
    onnx: bool = False
    """The network: network.onnx, any height, width and batch (needs tag2mask[onnx])."""
    coco: bool = False
    """COCO's JSON with run-length encoded masks."""
    voc: bool = False
    """The folders of VOC: SegmentationClass/*.png, a list and the colours of the classes."""
    voc_server: bool = False
    """The .tar.gz for VOC's evaluation server, competition comp6."""
    label_studio: bool = False
    """Tasks with brush pre-annotations for Label Studio, and its labelling set-up."""
    cvat: bool = False
    """Pre-annotations for CVAT ("CVAT for images 1.1"), and its labels."""
    url: str = LOCAL
    """What Label Studio is to put before a photograph's name to find it."""


def export(options: ExportOptions) -> None:
    """Write every format that is wanted and say where it is.

    Raises:
        InputError: the run is not finished, its photographs have moved, or a format cannot be.
    """
    o = options
    writers = {
        "coco": (o.coco, _coco),
        "voc": (o.voc, _voc),
        "voc-server": (o.voc_server, _voc_server),
        "label-studio": (o.label_studio, _label_studio),
        "cvat": (o.cvat, _cvat),
    }
    wanted = [writer for asked, writer in writers.values() if asked]
    if not wanted and not o.onnx:
        names = ", ".join(f"--{name}" for name in ("onnx", *writers))
        raise InputError(f"There is nothing to export; give one or more of {names}.")
    existing_run(o.run)
    _check_voc_server(o)
    out = o.out or o.run / FOLDER
    if o.onnx:
        _say(_onnx(o, out))
    if wanted:
        masks = stored(o.run, o.what)
        for writer in wanted:
            _say(writer(o, masks, out))


@dataclass(frozen=True, slots=True)
class Masks:
    """Masks of a run by photograph, read one at a time."""

    folder: Path
    photos: Sequence[Photo]
    classes: Sequence[str]

    def read(self, title: str) -> Iterator[Labelled]:
        """Every mask with its photograph's name, in the photographs' order."""
        for photo in track(self.photos, title, len(self.photos)):
            labels = read_labels(self.folder / f"{photo.id}.png").numpy()
            yield Labelled(f"{photo.id}{photo.path.suffix}", labels)


def stored(run: Path, what: What) -> Masks:
    """The masks of a finished run.

    Raises:
        InputError: the stage is not finished, or there are no such photographs.
    """
    found = existing_run(run)
    folder = run / ("masks" if what == "masks" else "predictions")
    if not (folder / "stamp").is_file():
        raise InputError(f"The run {run} has no finished {folder.name}; run its fit to the end.")
    experiment = from_json(read_json(run / "experiment.json"))
    context = Context(experiment, found, open_data(experiment.data))
    train, test = context.data.train, context.data.test
    photos = () if what == "test" else usable(context, train)
    if what != "masks" and test is not None:
        photos = (*photos, *usable(context, test))
    if not photos:
        raise InputError(f"The run {run} has no held-out photographs; give --what predictions.")
    return Masks(folder, photos, train.classes)


def _check_voc_server(options: ExportOptions) -> None:
    """Refuse what VOC's server would refuse, before anything is written."""
    if not options.voc_server:
        return
    classes = tuple(read_json(options.run / "classes.json"))
    if classes != VOC_CLASSES:
        raise InputError(
            f"VOC's server takes VOC's 20 classes in their order; this run has {len(classes)} "
            f"({', '.join(classes[:3])}, …). Leave out --voc-server."
        )


def _onnx(options: ExportOptions, out: Path) -> str:
    run, experiment = finished_run(options.run)
    classes = read_json(run.folder / "classes.json")
    network = load_network(experiment, run, len(classes))
    logits = network.segment if isinstance(network, SingleStage) else network
    done = write_onnx(out / "network.onnx", network, logits, classes, experiment.size)
    size, equal = done.bytes / 1e6, done.agreement
    return f"{done.path}: {size:.1f} MB, labels equal to the network's on {equal:.2%} of the pixels"


def _coco(options: ExportOptions, masks: Masks, out: Path) -> str:
    path = out / f"coco-{options.what}.json"
    return f"{path}: {write_coco_masks(path, masks.classes, masks.read('coco'))} masks"


def _voc(options: ExportOptions, masks: Masks, out: Path) -> str:
    folder = out / f"voc-{options.what}"
    count = write_voc(folder, masks.classes, masks.read("voc"), options.what)
    return f"{folder}: {count} masks"


def _voc_server(options: ExportOptions, masks: Masks, out: Path) -> str:
    path = out / f"voc-server-{options.what}.tar.gz"
    return f"{path}: {pack_voc_server(path, masks.read('voc-server'))} masks"


def _label_studio(options: ExportOptions, masks: Masks, out: Path) -> str:
    path = out / f"label-studio-{options.what}.json"
    count = write_label_studio(path, masks.classes, masks.read("label-studio"), options.url)
    return f"{path}: {count} tasks; its set-up is {path.with_suffix('.xml').name}"


def _cvat(options: ExportOptions, masks: Masks, out: Path) -> str:
    path = out / f"cvat-{options.what}.xml"
    count = write_cvat(path, masks.classes, masks.read("cvat"))
    return f"{path}: {count} masks; the task's labels are {path.stem}-labels.json"


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)
