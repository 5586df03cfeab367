"""The whole way from tags to masks, one line a stage."""

from __future__ import annotations

import time
from pathlib import Path

import tag2mask
from tag2mask import stages
from tag2mask.experiment import Experiment, method_name, to_json
from tag2mask.runs import Run, open_run
from tag2mask.storage import read_json, write_json


def fit(experiment: Experiment, out: Path) -> Run:
    """Photographs and tags in; pseudo masks, a network, scores and a page out.

    Interrupted at any moment, the same call goes on where it stood and ends in the same bytes.

    Raises:
        InputError: the data, the options or the folder cannot be used; nothing is lost.
    """
    data = stages.read_data(experiment)
    run = open_run(out, stages.identity(experiment, data))
    context = stages.Context(experiment, run, data)
    write_json(out / "experiment.json", describe(context))
    checked = timed(context, "data", stages.check_photographs)
    if experiment.teacher == "maps":
        classifier = timed(context, "classifier", stages.train_method, checked)
        maps = timed(context, "maps", stages.find_maps, classifier)
        refined = timed(context, "refined", stages.refine_maps, maps)
        masks = timed(context, "masks", stages.decide_masks, refined)
    else:
        masks = timed(context, "masks", stages.take_truth, checked)
    network = timed(context, "network", stages.train_network, masks)
    timed(context, "predictions", stages.predict_all, network)
    timed(context, "scores", stages.score_all)
    timed(context, "report", stages.tell)
    return run
