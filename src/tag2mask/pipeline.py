"""The whole way from tags to masks, one line a stage."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

from tag2mask import (
    boxes,
    estimates,
    instances,
    learned,
    mapping,
    pages,
    seeding,
    stages,
    verdict,
)
from tag2mask.affinity import LEARNED
from tag2mask.data import open_data
from tag2mask.experiment import (
    Experiment,
    method_name,
    needed_cues,
    to_json,
    trains_network,
)
from tag2mask.method import AfterClassifier
from tag2mask.methods import METHODS
from tag2mask.runs import Run, Stage, open_run, stamp_of
from tag2mask.segment import PREDICTING
from tag2mask.sources import saliency_stamp
from tag2mask.stages import Context, supervision
from tag2mask.storage import write_json
from tag2mask.types import Cue

Until = Literal["masks", "scores", "report"]
UNTIL: Final = get_args(Until)


def fit(experiment: Experiment, out: Path, until: Until = "report") -> Run:
    """Photographs and tags in; pseudo masks, a network, scores and a page out.

    Interrupted at any moment, the same call goes on where it stood and ends in the same bytes.

    Args:
        until: where to stop: "masks" trains no network and scores what there is by then, "scores"
            leaves out the page. The same call without it goes on from there.

    Raises:
        InputError: the data, the options or the folder cannot be used; nothing is lost.
    """
    e = experiment
    data = open_data(e.data)
    run = open_run(out, identity(e, data.train.classes))
    c = Context(e, run, data)
    write_json(out / "experiment.json", {**to_json(e), "method_name": method_name(e.method)})
    write_json(out / "classes.json", list(data.train.classes))

    truth = data.truth.fingerprint() if data.truth else ""
    checked = {"data": data.fingerprint, "truth": truth, "lenient": e.data.skip_bad}
    salient = saliency_stamp(e)
    _do(c, "data", stages.check_photographs, **checked, **salient)
    usable = stamp_of(data=data.fingerprint, skipped=stages.skipped(c))
    taught = stamp_inputs(e, "size", "backbone", "seed", "devices", "precision")
    trained = None
    if e.teacher == "maps":
        options = stamp_inputs(e, "method", "train")
        before = _before(c, usable, taught)
        inputs = {**taught, **options, **salient}
        trained = _do(c, "classifier", stages.train_method, up=before, **inputs)
        maps = _do(c, "maps", mapping.find_maps, up=trained.stamp, **stamp_inputs(e, "localize"))
        refined = _refine(c, maps, taught)
        decide = stamp_inputs(e, "masks", "refine")
        masks = _do(c, "masks", mapping.decide_masks, up=refined.stamp, **decide)
    else:
        masks = _do(c, "masks", mapping.take_truth, up=usable, truth=truth)
    write_json(out / "supervision.json", list(supervision(c)))
    labels = None if until == "masks" else _segment(c, masks, trained, taught)
    below = {"masks": masks.stamp}
    if labels is not None and e.teacher == "maps":
        judging = stamp_inputs(e, "quality")
        judge = estimates.estimate_quality
        below["quality"] = _do(c, "quality", judge, up=labels.stamp, **below, **judging).stamp
    known = {"truth": truth, "boxes": data.boxes.fingerprint() if data.boxes else ""}
    if trained is not None:
        below |= _recognise(c, trained, labels is not None, known)
    if e.instances:
        below |= _tell_apart(c, masks, taught, train=labels is not None)
    work = partial(verdict.score_all, predicted=labels is not None)
    scored = _do(c, "scores", work, up=labels.stamp if labels else "", **below, **known)
    if until == "report":
        _do(c, "report", pages.tell, up=scored.stamp, title=e.name or out.name)
    return run


def _before(context: Context, usable: str, taught: dict[str, Any]) -> str:
    """What the method asks for before its own training; the stamp that this training stands on.

    A plain classifier in `first`, for some methods its maps in `first-maps`, and in `seeds` the
    labels that these maps are sure of.
    """
    e = context.experiment
    seeded = Cue.SEEDS in needed_cues(e.method)
    if not seeded and not issubclass(METHODS[method_name(e.method)], AfterClassifier):
        return usable
    alone = replace(e, method=e.first, second_network=None)
    plain = replace(context, experiment=alone)
    options = stamp_inputs(plain.experiment, "method", "train")
    work = partial(stages.train_method, title="first classifier")
    first = _do(plain, "first", work, up=usable, **taught, **options)
    if not seeded:
        return first.stamp
    work = partial(mapping.find_maps, trained="first")
    maps = _do(plain, "first-maps", work, up=first.stamp, **stamp_inputs(e, "localize"))
    levels = seeding.levels(e)
    work = partial(seeding.make_seeds, source="first-maps", chosen=levels)
    return _do(context, "seeds", work, up=maps.stamp, levels=to_json(levels)).stamp


def _segment(
    context: Context, masks: Stage, trained: Stage | None, taught: dict[str, Any]
) -> Stage:
    """Labels of every photograph: by the network that masks teach, or by the method itself.

    A second network is taught by the pseudo masks, or by what the method makes of the photographs,
    in `segmented`.

    Args:
        trained: the stage that trained the method, if one did.
    """
    e = context.experiment
    options = stamp_inputs(e, "segment", "network")
    looked = {name: options["segment"].pop(name) for name in PREDICTING}
    if trained is not None and not trains_network(e):
        return _do(context, "predictions", stages.predict_all, up=trained.stamp, **looked)
    if trained is not None and e.second_network == "segmented":
        masks = _do(context, "segmented", stages.segment_all, up=trained.stamp, **looked)
    work = partial(stages.train_network, source=masks.folder.name)
    network = _do(context, "network", work, up=masks.stamp, **taught, **options)
    return _do(context, "predictions", stages.predict_all, up=network.stamp, **looked)


def _recognise(
    context: Context, trained: Stage, predicted: bool, known: dict[str, str]
) -> dict[str, str]:
    """Ask the classifier of the photographs whose boxes are scored; nothing if there are none.

    Args:
        predicted: whether held-out photographs are scored.
        known: the truth there is.
    """
    data = context.data
    parts = (data.train, data.test if predicted else None)
    photos = [p for part in parts if part is not None for p in boxes.boxed(context, part)]
    if not photos:
        return {}
    work = partial(boxes.recognise, photos=photos)
    inputs = {**known, "batch": context.experiment.localize.batch, "held_out": predicted}
    return {"recognised": _do(context, "recognised", work, up=trained.stamp, **inputs).stamp}


def _tell_apart(
    context: Context, masks: Stage, taught: dict[str, Any], train: bool
) -> dict[str, str]:
    """Objects of the pseudo masks, and a network taught by them; what decides their scores.

    Args:
        train: whether to go on to the network.
    """
    e, true = context.experiment, context.data.instances
    work: Any = instances.divide_masks
    options = stamp_inputs(e, "instance")
    done = _do(context, "instances", work, up=masks.stamp, maps=instances.taught_by(e), **options)
    if train:
        options = stamp_inputs(e, "detector", "instance_network")
        work, name = instances.train_detector, instances.NETWORK
        network = _do(context, name, work, up=done.stamp, **taught, **options)
        done = _do(context, instances.PREDICTIONS, instances.detect_all, up=network.stamp)
    return {"instances": done.stamp, "objects": true.fingerprint() if true else ""}


def _refine(context: Context, maps: Stage, taught: dict[str, Any]) -> Stage:
    """Every refiner in turn, trained first if it learns; the last one's maps are `refined`."""
    names, done = context.experiment.refiners, maps
    for place, name in enumerate(names, start=1):
        folder = "refined" if place == len(names) else f"refined-{place}-{name}"
        work = partial(mapping.refine_maps, name=name, source=done.folder.name)
        options = stamp_inputs(context.experiment, *(n for n in (name,) if n != "none"))
        if name in LEARNED:
            options["trained"] = _learn(context, name, done, taught).stamp
        done = _do(context, folder, work, up=done.stamp, refiner=name, **options)
    return done


def _learn(context: Context, name: str, maps: Stage, taught: dict[str, Any]) -> Stage:
    """An affinity, taught by labels of which the maps before it are sure."""
    e = context.experiment
    chosen = learned.affinity_options(e, name)
    work: Any = partial(seeding.make_seeds, source=maps.folder.name, chosen=chosen.seeds)
    levels = to_json(chosen.seeds)
    labels = _do(context, f"{name}-labels", work, up=maps.stamp, levels=levels)
    work = partial(learned.train_affinity, name=name, labels=labels.folder.name)
    options = stamp_inputs(e, "affinity") | {"options": chosen.trained}
    return _do(context, name, work, up=labels.stamp, **taught, **options)


def identity(experiment: Experiment, classes: tuple[str, ...]) -> dict[str, Any]:
    """What must not change while a folder is gone on with."""
    return {
        "photographs": experiment.data.photos.resolve().name,
        "classes": list(classes),
        "method": method_name(experiment.method),
        "teacher": experiment.teacher,
    }


def stamp_inputs(experiment: Experiment, *names: str) -> dict[str, Any]:
    """The options of these names as JSON; how often a checkpoint is written decides nothing."""
    inputs = {name: to_json(getattr(experiment, name)) for name in names}
    for options in inputs.values():
        if isinstance(options, dict):
            options.pop("checkpoint", None)
    return inputs


def _do(context: Context, name: str, work: Any, **inputs: Any) -> Stage:
    stage = context.run.stage(name, version=FORMAT, **inputs)
    if not stage.done:
        work(context, stage)
        stage.finish()
    return stage


FORMAT = 2  # raised when a stage's result changes under equal options
