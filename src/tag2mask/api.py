"""The main job from Python, as the command line has it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from tag2mask import pipeline
from tag2mask.data import DataOptions
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment, MethodOptions
from tag2mask.methods import METHODS
from tag2mask.runs import Run

PATHS = ("photos", "tags", "classes", "truth")


def fit(
    photos: str | Path, *, out: str | Path, method: str | MethodOptions = "cam", **options: Any
) -> Run:
    """Photographs and tags in; pseudo masks, a network, scores and a page in `out`.

        tag2mask.fit("photos", tags="tags.csv", out="runs/mine", size=192, seed=1)

    Args:
        method: a name, or the options of a method.
        options: fields of `DataOptions` (tags, truth, split, …) and of `Experiment` (size, seed,
            backbone=BackboneOptions(…), train=TrainOptions(…), …).

    Raises:
        InputError: the data, an option or the folder cannot be used.
    """
    if isinstance(method, str) and method not in METHODS:
        raise InputError(f"There is no method {method!r}; known are: {', '.join(METHODS)}.")
    known = {f.name for f in fields(DataOptions)}, {f.name for f in fields(Experiment)}
    unknown = sorted(set(options) - known[0] - known[1])
    if unknown:
        raise InputError(
            f"There is no option {unknown[0]!r}; expected fields of DataOptions or Experiment."
        )
    about = {"photos": photos, **{k: v for k, v in options.items() if k in known[0]}}
    data: Any = {k: Path(v) if k in PATHS and v is not None else v for k, v in about.items()}
    rest = {k: v for k, v in options.items() if k not in known[0]}
    chosen = METHODS[method].Options() if isinstance(method, str) else method
    return pipeline.fit(Experiment(DataOptions(**data), method=chosen, **rest), Path(out))
