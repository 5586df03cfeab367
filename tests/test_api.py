from __future__ import annotations

import pytest
from oracles.shapes import draw_set

import tag2mask
from tag2mask.errors import InputError
from tag2mask.experiment import from_json
from tag2mask.storage import read_json
from tag2mask.train import TrainOptions


def test_python_does_what_the_command_line_does(tmp_path):
    drawn = draw_set(tmp_path / "set", train=6, test=0)
    run = tag2mask.fit(
        str(drawn / "photos"),
        tags=str(drawn / "labels.csv"),
        out=tmp_path / "out",
        size=64,
        train=TrainOptions(steps=2, batch=4),
        network=TrainOptions(steps=2, batch=4),
        accelerator="cpu",
    )
    assert len(list((run.folder / "masks").glob("*.png"))) == 6
    kept = from_json(read_json(run.folder / "experiment.json"))
    assert kept.data.tags == drawn / "labels.csv"
    assert kept.train.steps == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "magic"}, "no method 'magic'"),
        ({"sise": 64}, "no option 'sise'"),
        ({"size": 8}, "--size 8 is too small"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, options, expected):
    with pytest.raises(InputError, match=expected):
        tag2mask.fit(tmp_path, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
