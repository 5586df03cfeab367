"""What a search ranks runs by: one number a run, higher is better.

A blind criterion reads tags, masks and predictions. It is no measure of truth: runs that are
wrong in one way throughout agree with themselves. What it is worth was measured (docs/guides).
An oracle criterion reads true masks; whoever chooses by it has used masks, and every table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tag2mask.data import open_data
from tag2mask.evaluate import confusion, scores
from tag2mask.experiment import Experiment
from tag2mask.pipeline import Until
from tag2mask.runs import Run
from tag2mask.storage import read_json, read_labels
from tag2mask.types import Confusion

MARKED: Final = 0.01  # share of a photograph from which on a class counts as marked in it


@dataclass(frozen=True, slots=True)
class Criterion:
    """How good a finished run is.

    Attributes:
        text: what is measured, for tables.
        oracle: whether it reads true masks.
        until: how far a run has to go for it.
        score: the number of a run; None where there is none.
    """

    text: str
    oracle: bool
    until: Until
    score: Callable[[Run, Experiment], float | None]


def agreement(run: Run, experiment: Experiment) -> float | None:
    """How alike, as mIoU, pseudo masks are to what the network makes of the same photographs.

    The network sees no tags, and learns of the masks only what repeats. Masks that are too large
    everywhere repeat as well.
    """
    folder, classes = run.folder, len(read_json(run.folder / "classes.json"))
    total = Confusion.zeros(classes + 1)
    for path in sorted((folder / "masks").rglob("*.png")):
        predicted = folder / "predictions" / path.relative_to(folder / "masks")
        total += confusion(read_labels(path), read_labels(predicted), classes)
    return scores(total).miou


def tag_agreement(run: Run, experiment: Experiment) -> float | None:
    """F1 of the classes that the network marks against the tags; held-out photographs if any.

        2 TP / (2 TP + FP + FN) over pairs of photograph and class

    A class counts as marked from a hundredth of the photograph on. Says whether the network finds
    things, not how well it outlines them.
    """
    data = open_data(experiment.data)
    skipped = {entry["id"] for entry in read_json(run.folder / "data" / "check.json")["skipped"]}
    right = wrong = 0
    for photo in (data.test or data.train).photos:
        if photo.id in skipped:
            continue
        labels = read_labels(run.folder / "predictions" / f"{photo.id}.png")
        share = labels.flatten().long().bincount(minlength=256) / labels.numel()
        marked = {n for n in range(1, len(data.train.classes) + 1) if share[n] >= MARKED}
        right += 2 * len(marked & set(photo.tags))
        wrong += len(marked ^ set(photo.tags))
    return right / (right + wrong) if right + wrong else None


def true_score(run: Run, stage: str) -> float | None:
    """A stage's mIoU on truth, training photographs, as `scores.json` has it."""
    splits = read_json(run.folder / "scores.json")["splits"]
    miou: float | None = splits.get("train", {}).get(stage, {}).get("miou")
    return miou


def oracle_masks(run: Run, experiment: Experiment) -> float | None:
    """The pseudo masks' mIoU on true masks."""
    return true_score(run, "masks")


def oracle_network(run: Run, experiment: Experiment) -> float | None:
    """The predictions' mIoU on true masks; training photographs."""
    return true_score(run, "network")


CRITERIA: Final[Mapping[str, Criterion]] = {
    "agreement": Criterion("pseudo masks against the network", False, "scores", agreement),
    "tags": Criterion("classes the network marks against tags", False, "scores", tag_agreement),
    "oracle-masks": Criterion("pseudo masks against TRUE MASKS", True, "masks", oracle_masks),
    "oracle-network": Criterion("network against TRUE MASKS", True, "scores", oracle_network),
}
