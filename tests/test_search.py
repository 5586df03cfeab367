from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from tag2mask.data import DataOptions
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment
from tag2mask.methods.ssc import SSCOptions
from tag2mask.search import (
    Range,
    option_names,
    parse_vary,
    plan,
    resolved_choices,
    with_values,
)

BASE = Experiment(DataOptions(Path("photos")), method=SSCOptions())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size=96,128", ("size", ("96", "128"))),
        (" size = 96 , 128 ", ("size", ("96", "128"))),
        ("refine=par;par,crf", ("refine", ("par", "par,crf"))),
        ("localize.scales=1,1 1.5", ("localize.scales", ("1", "1 1.5"))),
        ("masks.background=0.2..0.6", ("masks.background", Range(0.2, 0.6))),
        ("method.rate=1e-4..1e-2:log", ("method.rate", Range(1e-4, 1e-2, True))),
        ("data.tags=C:/a..b.csv", ("data.tags", ("C:/a..b.csv",))),
    ],
)
def test_what_is_typed(text, expected):
    assert parse_vary(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size", "expected a name and values"),
        ("=3", "expected a name and values"),
        ("size=", "expected a name and values"),
        ("size=a..b", "is no range"),
        ("size=3..3", "low < high"),
        ("size=0..3:log", "0 < low < high"),
    ],
)
def test_what_cannot_be_typed(text, expected):
    with pytest.raises(InputError, match=expected):
        parse_vary(text)


def test_values_become_what_the_option_is():
    vary = {
        "train.steps": ("none", "7"),
        "masks.background": ["0.5", None, 0],
        "localize.flip": ("false", True),
        "localize.scales": ("1 1.5", [2]),
        "train.zoom": ("0.5 1",),
        "refine": ("par",),
        "teacher": ("maps",),
        "data.truth": ("masks",),
    }
    assert resolved_choices(BASE, vary) == {
        "train.steps": (None, 7),
        "masks.background": (0.5, None, 0.0),
        "localize.flip": (False, True),
        "localize.scales": ((1.0, 1.5), (2.0,)),
        "train.zoom": ((0.5, 1.0),),
        "refine": ("par",),
        "teacher": ("maps",),
        "data.truth": (Path("masks"),),
    }


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ({}, "nothing to vary"),
        ({"train.step": [1]}, "nearest are train.steps"),
        ({"modulation": [1]}, "nearest are method.modulation"),
        ({"train": [1]}, "stands for several options.*train.steps"),
        ({"zzz": [1]}, "expected such as train.steps"),
        ({"size": ["1.5"]}, "size got '1.5'; expected a whole number"),
        ({"size": [1.5]}, "size got 1.5"),
        ({"size": [True]}, "size got True"),
        ({"localize.flip": ["maybe"]}, "true or false"),
        ({"teacher": ["both"]}, "maps, truth"),
        ({"train.zoom": ["1"]}, "expected numbers"),
        ({"refine": [3]}, "expected text"),
        ({"size": "96"}, "expected a list of values"),
        ({"size": []}, "expected a list of values"),
        ({"refine": Range(0.0, 1.0)}, "takes no range"),
    ],
)
def test_what_no_experiment_has(vary, expected):
    with pytest.raises(InputError, match=expected):
        resolved_choices(BASE, vary)


def test_every_option_can_be_set_by_its_name():
    names = list(option_names(BASE))
    assert {"size", "method.modulation", "train.steps", "network.steps", "data.tags"} <= set(names)
    assert with_values(BASE, {name: _value(BASE, name) for name in names}) == BASE
    changed = with_values(BASE, {"train.steps": 7, "train.batch": 3, "size": 64})
    assert (changed.train.steps, changed.train.batch, changed.size) == (7, 3, 64)
    assert changed.network == BASE.network


def _value(options, name):
    for part in name.split("."):
        options = getattr(options, part)
    return options


def test_options_that_only_fit_together():
    """One after the other, the first would be refused."""
    low = with_values(BASE, {"masks.background": 0.5, "masks.confident": 0.6})
    high = with_values(low, {"masks.background": 0.7, "masks.confident": 0.8})
    assert (high.masks.background, high.masks.confident) == (0.7, 0.8)
    with pytest.raises(InputError, match="not above"):
        with_values(low, {"masks.background": 0.7})


def test_a_grid_has_every_combination_once():
    found = plan(BASE, {"size": (64, 96, 64), "seed": (0, 1)})
    assert found == [{"size": s, "seed": n} for s in (64, 96) for n in (0, 1)]
    with pytest.raises(InputError, match="--trials"):
        plan(BASE, {"method.rate": Range(0.0, 1.0)})
    with pytest.raises(InputError, match="--trials 0"):
        plan(BASE, {"size": (64,)}, 0)


def test_a_draw_is_the_seeds_and_never_the_same_twice():
    steps = Range(10.0, 99.0)
    choices = {"size": (64, 96), "masks.background": Range(0.2, 0.6), "train.steps": steps}
    drawn = plan(BASE, choices, 30)
    assert drawn == plan(BASE, choices, 30)
    assert drawn != plan(with_values(BASE, {"seed": 1}), choices, 30)
    assert drawn[:7] == plan(BASE, choices, 7), "more trials keep those before"
    assert len({str(values) for values in drawn}) == 30
    assert all(0.2 <= v["masks.background"] <= 0.6 for v in drawn)
    assert all(isinstance(v["train.steps"], int) for v in drawn)
    assert len(plan(BASE, {"size": (64, 96)}, 9)) == 2, "there are no more"


def test_a_logarithmic_range_is_even_in_its_logarithm():
    chance, numbers = random.Random(0), Range(1e-4, 1e-2, True)
    drawn = [math.log10(numbers.draw(chance)) for _ in range(2000)]
    assert all(-4 <= value <= -2 for value in drawn)
    assert sum(value < -3 for value in drawn) == pytest.approx(1000, abs=70)
