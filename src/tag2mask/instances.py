"""The stages that tell objects apart: in the pseudo masks, and by a network taught with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from torch import Tensor

from tag2mask.affinity import IRN, ObjectWalk, foreground_mean, peaks
from tag2mask.affinity.walking import seen
from tag2mask.data import Collection, Photo, image_size, read_image
from tag2mask.evaluate import InstanceScores, component_instances
from tag2mask.experiment import Experiment
from tag2mask.export import write_coco_instances
from tag2mask.learned import trained_affinity
from tag2mask.mapping import decoded, read_refined, reader
from tag2mask.nn.parts import numbered_instances
from tag2mask.progress import track
from tag2mask.runs import Run, Stage
from tag2mask.segment import Detector, detect
from tag2mask.sources import DividedPhotographs, Photographs, same_size_batches
from tag2mask.stages import WEIGHTS, Context, Pictured, fabric_of, keep, usable
from tag2mask.storage import (
    read_instances,
    read_json,
    read_labels,
    read_tensors,
    write_instances,
    write_json,
    write_labels,
)
from tag2mask.train import fit, instance_batches, prefetch, resolved
from tag2mask.types import Instances

TABLE: Final = "instances.json"
OBJECTS: Final = "objects"  # folder of what was found in each photograph
NETWORK: Final = "instance-network"
PREDICTIONS: Final = "instance-predictions"
COMPONENTS: Final = "connected components of the true masks: objects of a class that touch are one"


# --- in the pseudo masks --------------------------------------------------------------------


def divide_masks(context: Context, stage: Stage) -> None:
    """Tell the objects of every pseudo mask apart: `ID.png` has their numbers, and the table."""
    e, folder = context.experiment, context.run.folder
    network = trained_affinity(context, "irn")
    if not isinstance(network, IRN):
        raise TypeError(f"{type(network).__name__} has no displacements.")
    photos, source = usable(context, context.data.train), taught_by(e)
    mean = _mean(context, stage, network, photos)
    walk, read = ObjectWalk(network, float(e.size), mean, e.instance), reader(source)
    todo = [photo for photo in photos if not stage.file(photo.id, ".png").is_file()]
    stream = decoded(context, [[photo] for photo in todo])
    for (item,) in track(stream, "instances", len(photos), len(photos) - len(todo)):
        labels = read_labels(folder / "masks" / f"{item.id}.png")
        ids = walk(item.image, read(folder / source, item.id), labels)
        write_labels(stage.file(item.id, ".png"), ids)
    found = ((_file(photo), pseudo_instances(folder, photo)) for photo in photos)
    write_coco_instances(stage.folder / TABLE, context.data.train.classes, found)


def taught_by(experiment: Experiment) -> str:
    """The stage whose maps IRN learned from, and walks with."""
    place = experiment.refiners.index("irn")
    return f"refined-{place}-{experiment.refiners[place - 1]}" if place else "maps"


def _mean(
    context: Context, stage: Stage, network: IRN, photos: Sequence[Photo]
) -> Float[Tensor, "2"]:
    """The mean displacement of what the pseudo masks call a class; known from before, if it is."""
    path = stage.folder / "displacement.json"
    if not path.is_file():
        fields = _fields(context, network, photos)
        write_json(path, {"mean": foreground_mean(fields).tolist()})
    return torch.tensor(read_json(path)["mean"])


def _fields(
    context: Context, network: IRN, photos: Sequence[Photo]
) -> Iterator[tuple[Tensor, UInt8[Tensor, "H W"]]]:
    side, masks = float(context.experiment.size), context.run.folder / "masks"
    images = prefetch(lambda number: read_image(photos[number].path), 0, len(photos))
    stream = track(images, "displacements", len(photos))
    for photo, image in zip(photos, stream, strict=True):
        with torch.inference_mode():
            _, field = network.look(seen(network, image, side))
        yield field[0].cpu(), read_labels(masks / f"{photo.id}.png")


def pseudo_instances(run: Path, photo: Photo) -> Instances:
    """The instances of a photograph's pseudo mask; scores are the peaks of the refined maps."""
    labels, ids = (read_labels(run / name / f"{photo.id}.png") for name in ("masks", "instances"))
    found = numbered_instances(photo.id, labels, ids)
    return replace(found, scores=peaks(read_refined(run / "refined", photo.id), found))


def predicted_instances(run: Path, photo: Photo) -> Instances:
    """What the instance network found in a photograph."""
    return read_instances(_record(run / PREDICTIONS / OBJECTS, photo))


def _file(photo: Photo) -> str:
    return f"{photo.id}{photo.path.suffix}"


# --- by a network ---------------------------------------------------------------------------


def build_detector(experiment: Experiment, classes: int) -> Detector:
    """The instance network with pretrained weights; its new layers are drawn from the seed."""
    torch.manual_seed(experiment.seed)
    e = experiment
    network = Detector(e.detector, e.backbone, classes, e.size)
    placed: Detector = network.to(memory_format=torch.channels_last)
    return placed


def train_detector(context: Context, stage: Stage) -> None:
    """Train the instance network on the instances of the pseudo masks."""
    e, folder = context.experiment, context.run.folder
    side = int(e.size * e.instance_network.zoom[1])
    photos = Photographs(usable(context, context.data.train), context.classes, side)
    source = DividedPhotographs(photos, folder / "masks", folder / "instances")
    work = partial(_train, experiment=e, source=source, folder=stage.folder)
    fabric_of(e, e.devices).launch(work)


def _train(
    fabric: Fabric, experiment: Experiment, source: DividedPhotographs, folder: Path
) -> None:
    e, ranks = experiment, (fabric.global_rank, fabric.world_size)
    network = build_detector(e, source.photographs.classes)
    options = resolved(e.instance_network, len(source))
    batches = instance_batches(source, options, e.size, e.seed, *ranks)
    fit(fabric, network, batches, options, folder, e.seed, NETWORK.replace("-", " "))
    keep(fabric, network, folder)


def load_detector(experiment: Experiment, run: Run, classes: int) -> Detector:
    """The instance network that a run has trained, for asking."""
    network = build_detector(experiment, classes)
    network.load_state_dict(read_tensors(run.folder / NETWORK / WEIGHTS))
    return network.eval()


def detected(
    experiment: Experiment, network: Detector, batches: Iterable[Sequence[Pictured]]
) -> Iterator[Instances]:
    """The objects that the network finds in photographs, as they come."""
    fabric = fabric_of(experiment)
    network = network.to(fabric.device)
    for batch in batches:
        ids, images = [photo.id for photo, _ in batch], [image for _, image in batch]
        with torch.inference_mode(), fabric.autocast():
            found = detect(network, ids, images, fabric.device)
        yield from found


def detect_all(context: Context, stage: Stage) -> None:
    """Objects of every photograph, held-out ones included; no tags are used."""
    e, folder = context.experiment, stage.folder / OBJECTS
    held_out = usable(context, context.data.test) if context.data.test else ()
    photos = (*usable(context, context.data.train), *held_out)
    batches = same_size_batches(photos, e.segment.batch)
    todo = [b for b in batches if not all(_record(folder, p).is_file() for p in b)]
    pictured = prefetch(lambda n: [(p, read_image(p.path)) for p in todo[n]], 0, len(todo))
    network = load_detector(e, context.run, context.classes)
    done = len(photos) - sum(len(b) for b in todo)
    for found in track(detected(e, network, pictured), "instances", len(photos), done):
        write_instances(folder / f"{found.id}.json", found)
    gather(stage.folder, context.data.train.classes, photos)


def gather(folder: Path, classes: Sequence[str], photos: Sequence[Photo]) -> int:
    """Write the table of what was found in each photograph; how many objects there are."""
    found = ((_file(photo), read_instances(_record(folder / OBJECTS, photo))) for photo in photos)
    return write_coco_instances(folder / TABLE, classes, found)


def _record(folder: Path, photo: Photo) -> Path:
    return folder / f"{photo.id}.json"


# --- scores ---------------------------------------------------------------------------------


def instance_scores(context: Context, predicted: bool) -> dict[str, Any]:
    """AP of the pseudo masks' instances and of the network's, by split; empty without truth.

    Args:
        predicted: whether there is a network that has predicted.
    """
    data, result = context.data, dict[str, Any]()
    parts: list[tuple[str, Collection]] = [("train", data.train)]
    if data.test is not None and predicted:
        parts.append(("test", data.test))
    for split, collection in parts:
        photos = [p for p in usable(context, collection) if has_truth(context, p)]
        sources = ["masks"] if split == "train" else []
        sources += ["network"] if predicted else []
        if photos and sources:
            source = COMPONENTS if data.instances is None else data.instances.source
            entry: dict[str, Any] = {"truth": source}
            result[split] = entry | _score(context, photos, sources)
    return result


def has_truth(context: Context, photo: Photo) -> bool:
    """Whether the objects of a photograph are known; components of its true mask will do."""
    known = context.data.truth if context.data.instances is None else context.data.instances
    return known is not None and photo.id in known


def _score(
    context: Context, photos: Sequence[Photo], sources: Sequence[str]
) -> dict[str, dict[str, Any]]:
    scored = {name: InstanceScores(context.classes) for name in sources}
    folder = context.run.folder
    for photo in track(photos, "scores: instances", len(photos)):
        true = true_instances(context, photo)
        for name, one in scored.items():
            if name == "masks":
                found = pseudo_instances(folder, photo)
            else:
                found = predicted_instances(folder, photo)
            one.add(found, true)
    return {name: one.to_json(context.data.train.classes) for name, one in scored.items()}


def true_instances(context: Context, photo: Photo) -> Instances:
    """Objects that were told apart; else the components of the true mask."""
    size, data = image_size(photo.path), context.data
    if data.instances is not None:
        return data.instances.read(photo.id, size)
    if data.truth is None:
        raise ValueError(f"{photo.id!r} has no truth.")
    return component_instances(photo.id, data.truth.read(photo.id, size).truth)
