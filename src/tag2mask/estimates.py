"""Masks judged without truth, photograph by photograph; with a little truth, the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import UInt8
from torch import Tensor

from tag2mask.data import Photo, image_size, read_tagged
from tag2mask.data.collection import Truth
from tag2mask.evaluate import confusion, powered_mean
from tag2mask.evaluate import quality as measure
from tag2mask.evaluate import scores as score
from tag2mask.evaluate.powered import FEWEST
from tag2mask.localize import folded
from tag2mask.mapping import decoded, read_maps, read_refined, read_scales
from tag2mask.masks import threshold
from tag2mask.method import Method
from tag2mask.nn.views import resize, scaled_size
from tag2mask.progress import track
from tag2mask.runs import Stage
from tag2mask.sources import same_size_batches, shrink
from tag2mask.stages import Context, fabric_of, load_method, usable
from tag2mask.storage import read_json, read_labels, write_json
from tag2mask.types import CamSet, Size, TaggedImage

SIDE: Final = 192  # pixels of the longer side that masks are judged at
VIEWS: Final = 32  # pictures that the classifier is shown at once
DECIDED: Final = {"pseudo masks": "masks", "the network's masks": "predictions"}

Labels = UInt8[Tensor, "H W"]


def estimate_quality(context: Context, stage: Stage) -> None:
    """Judge the pseudo masks of all tagged training photographs; `quality.json`.

    Nothing here has seen truth. Photographs without tags have no mask to judge.
    """
    judge = Judge(context)
    photos = [photo for photo in usable(context, context.data.train) if photo.tags]
    again = context.experiment.quality.look_again
    seen = look_again(context, photos) if again else {}
    entries: dict[str, Any] = {}
    stream = decoded(context, [[photo] for photo in photos])
    for (item,) in track(stream, "quality", len(photos)):
        measures = judge.measures(item) | seen.get(item.id, {})
        rounded = {name: round(value, 4) for name, value in measures.items()}
        entries[item.id] = {
            "estimate": round(measure.estimate(measures), 4),
            "measures": rounded,
            "doubts": list(measure.doubts(measures, judge.empty(item))),
        }
    result = {"combined": list(measure.COMBINED), "doubtful": measure.DOUBTFUL}
    write_json(context.run.folder / "quality.json", {**result, "photographs": entries})
    write_json(stage.folder / "judged.json", len(entries))


class Judge:
    """Measures the masks of a run, one photograph at a time, on small copies."""

    def __init__(self, context: Context) -> None:
        self.folder, self.classes = context.run.folder, context.classes
        self.names = context.data.train.classes
        self.level: float = read_json(self.folder / "masks" / "level.json")["level"]
        self.predicted = (self.folder / "predictions" / "stamp").is_file()

    def measures(self, item: TaggedImage) -> dict[str, float]:
        """Every measure that needs no network."""
        image = shrink(item.image, SIDE)
        size = (image.shape[-2], image.shape[-1])
        mask = self._read("masks", item.id, size)
        merged = read_maps(self.folder / "maps", item.id)
        refined = read_refined(self.folder / "refined", item.id)
        first, last = (
            self._decide(cams, size)
            for cams in read_scales(self.folder / "maps", item.id, (0, -1))
        )  # fmt: skip
        low, high = (
            self._decide(refined, size, self.level + rise)
            for rise in (-measure.RISE, measure.RISE)
        )  # fmt: skip
        found = {
            "scales": measure.agreement(first, last, self.classes),
            "refinement": measure.agreement(mask, self._decide(merged, size), self.classes),
            "edges": measure.edge_alignment(image, mask),
            "certainty": measure.certainty(refined.maps.amax(dim=0), self.level),
            "stability": measure.agreement(low, high, self.classes),
            "area": measure.area_plausibility(mask),
        }
        if self.predicted:
            network = self._read("predictions", item.id, size)
            found["agreement"] = measure.agreement(mask, network, self.classes)
        return found

    def empty(self, item: TaggedImage) -> list[str]:
        """Names of tagged classes without a pixel in the mask."""
        present = torch.bincount(read_labels(self.folder / "masks" / f"{item.id}.png").flatten())
        tags = item.tags.nonzero().flatten().tolist()
        return [self.names[tag] for tag in tags if not present[tag + 1 : tag + 2].any()]

    def _read(self, stage: str, photo: str, size: Size) -> Labels:
        return shrink_labels(read_labels(self.folder / stage / f"{photo}.png"), size)

    def _decide(self, cams: CamSet, size: Size, level: float | None = None) -> Labels:
        level = self.level if level is None else min(max(level, 0.0), 1 - 1e-6)
        return threshold(replace(cams, size=size), level).labels


def shrink_labels(labels: Labels, size: Size) -> UInt8[Tensor, "_ _"]:
    """Labels at another size; none is invented between two."""
    small: Tensor = torch.nn.functional.interpolate(
        labels[None, None].float(), size, mode="nearest-exact"
    )
    return small[0, 0].byte()


# --- the classifier, asked again --------------------------------------------------------------


def look_again(context: Context, photos: Sequence[Photo]) -> dict[str, dict[str, float]]:
    """What the classifier says to mirrored, masked and erased photographs."""
    e = context.experiment
    fabric = fabric_of(e)
    method = load_method(e, context.run, context.classes, "classifier")
    method = folded(method, 4 * e.backbone.stride, context.classes).to(fabric.device)
    found: dict[str, dict[str, float]] = {}
    batches = same_size_batches(photos, 1)
    for (photo,) in track(batches, "looking again", len(photos)):
        item = read_tagged(photo, context.classes)
        size = scaled_size(image_size(photo.path), float(e.size), e.backbone.stride)
        mask = read_labels(context.run.folder / "masks" / f"{photo.id}.png")
        with torch.inference_mode(), fabric.autocast():
            found[photo.id] = asked_again(method, item, shrink_labels(mask, size), fabric.device)
    return found


def asked_again(
    method: Method, item: TaggedImage, mask: UInt8[Tensor, "h w"], device: torch.device
) -> dict[str, float]:
    """Agreement with the mirrored view; tags recognised by their masks alone, and without them.

    Args:
        mask: labels at the size that the method looks at.
    """
    classes = item.tags.nonzero().flatten()
    view = resize(item.image, (mask.shape[0], mask.shape[1])).float()
    both = torch.stack([view, view.flip(-1)]).to(device, memory_format=torch.channels_last)
    plain, mirrored = method.localize(both, item.tags.to(device).repeat(2, 1)).float().cpu()
    selected = [mask == label for label in (classes + 1).tolist()]
    alone = [measure.with_mask_alone(view, chosen) for chosen in selected]
    without = [measure.with_mask_alone(view, ~chosen) for chosen in selected]
    scores = [_own_scores(method, torch.stack(v), classes, device) for v in (alone, without)]
    return {
        "mirrored": measure.map_agreement(plain[classes], mirrored[classes].flip(-1)),
        "kept": measure.recognised(scores[0]),
        "erased": 1 - measure.recognised(scores[1]),
    }


def _own_scores(method: Method, views: Tensor, classes: Tensor, device: torch.device) -> Tensor:
    """The score of the k-th class in the k-th view, a few views at a time."""
    parts = [
        method.classify(some.to(device, memory_format=torch.channels_last)).float().cpu()
        for some in torch.split(views, VIEWS)
    ]
    return torch.cat(parts).gather(1, classes[:, None])[:, 0]


# --- a little truth ---------------------------------------------------------------------------


def powered_scores(folder: Path, truth: Truth, classes: int) -> dict[str, Any]:
    """The mean IoU of all judged photographs, by decision, from true masks of some of them.

    Empty with true masks for fewer than five. The photographs with truth have to be a random draw.

    Args:
        folder: of a run that has quality.json.
    """
    judged = read_json(folder / "quality.json")["photographs"]
    ids = list(judged)
    known = [number for number, photo in enumerate(ids) if photo in truth]
    estimates = torch.tensor([judged[photo]["estimate"] for photo in ids], dtype=torch.float64)
    found: dict[str, Any] = {}
    for name, stage in DECIDED.items():
        if len(known) < FEWEST or not (folder / stage / "stamp").is_file():
            continue
        ious = [_true_iou(folder / stage, ids[number], truth, classes) for number in known]
        few = torch.tensor(ious, dtype=torch.float64)
        found[name] = asdict(powered_mean(estimates, torch.tensor(known), few))
    return found


def _true_iou(folder: Path, photo: str, truth: Truth, classes: int) -> float:
    labels = read_labels(folder / f"{photo}.png")
    true = truth.read(photo, (labels.shape[0], labels.shape[1])).truth
    return score(confusion(true, labels, classes)).miou
