"""What a method may ask for before its own training: a classifier, its maps, seeds made of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from oracles.interrupted import stopped
from oracles.shapes import draw_set, small_experiment
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from tag2mask import mapping, pipeline, stages
from tag2mask.data import open_data, read_image
from tag2mask.experiment import Experiment
from tag2mask.localize import LocalizeOptions
from tag2mask.method import AfterClassifier
from tag2mask.methods import METHODS
from tag2mask.methods.amn import AMNOptions
from tag2mask.methods.cam import CAMOptions
from tag2mask.nn.backbones import Backbone
from tag2mask.nn.host import CAMHost, two_rates
from tag2mask.refine import irn_labels
from tag2mask.runs import open_run
from tag2mask.sources import Photographs, cue_sources
from tag2mask.stages import Context
from tag2mask.storage import read_labels
from tag2mask.train import TrainOptions
from tag2mask.types import Cue, TagBatch

BEFORE = ["first", "first-maps", "seeds"]
TAUGHT = ["classifier", "maps", "refined", "masks", "network", "predictions"]
OWN = [*TAUGHT, "quality", "scores", "report"]
SAID = OWN  # by stages that only say that they would work


def experiment(drawn: Path, **changes: Any) -> Experiment:
    return small_experiment(drawn, **({"method": AMNOptions()} | changes))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=0)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    pipeline.fit(experiment(drawn), out)
    return out


def contents(run: Path) -> dict[str, bytes]:
    files = [path for name in BEFORE for path in sorted((run / name).rglob("*"))]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files if path.is_file()}


def test_the_seeds_are_those_of_the_first_classifiers_maps(finished: Path, drawn: Path) -> None:
    ids = (drawn / "train.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(path.stem for path in (finished / "seeds").glob("*.png")) == sorted(ids)
    for name in ids:
        image = read_image(drawn / "photos" / f"{name}.png")
        cams = mapping.read_maps(finished / "first-maps", name)
        expected = irn_labels(image, cams, 0.30, 0.05)
        assert torch.equal(read_labels(finished / "seeds" / f"{name}.png"), expected)


def test_seeds_are_no_new_supervision(finished: Path) -> None:
    told = json.loads((finished / "supervision.json").read_text(encoding="utf-8"))
    assert told[0] == "image tags of 6 photographs"
    assert len(told) == 3  # also pretrained weights, and the blind level


def test_the_first_classifier_is_the_one_that_cam_trains(
    finished: Path, drawn: Path, tmp_path: Path
) -> None:
    cam = experiment(drawn, method=CAMOptions())
    context = Context(cam, open_run(tmp_path / "cam", {}), open_data(cam.data))
    stages.check_photographs(context, context.run.stage("data"))
    stages.train_method(context, context.run.stage("classifier"))
    for name in ("weights.safetensors", "log.jsonl"):
        expected = (tmp_path / "cam" / "classifier" / name).read_bytes()
        assert (finished / "first" / name).read_bytes() == expected
    own = load_file(finished / "classifier" / "weights.safetensors")
    assert "classifier.weight" not in own  # AMN's own network is another


def test_the_training_is_given_the_seeds_of_its_photographs(finished: Path, drawn: Path) -> None:
    amn = experiment(drawn)
    photographs = Photographs(open_data(amn.data).train.photos, 2, 64)
    found = cue_sources(amn, photographs, finished)
    assert list(found) == [Cue.SEEDS]
    for number in range(len(photographs)):
        labels = read_labels(finished / "seeds" / f"{photographs[number].id}.png")
        assert torch.equal(found[Cue.SEEDS][number], labels.long())


def test_nothing_is_done_again(finished: Path, drawn: Path, ran: list[str]) -> None:
    pipeline.fit(experiment(drawn), finished)
    assert ran == []


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"method": AMNOptions(foreground=0.5)}, ["seeds", *OWN]),
        ({"method": AMNOptions(smoothing=0.2)}, OWN),
        ({"localize": LocalizeOptions(scales=(1.5,))}, ["first-maps", "seeds", *OWN]),
        ({"train": TrainOptions(steps=2, batch=4)}, [*BEFORE, *OWN]),
    ],
)
def test_an_option_redoes_what_it_decides(
    finished: Path,
    drawn: Path,
    tmp_path: Path,
    ran: list[str],
    change: dict[str, Any],
    redone: list[str],
) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    pipeline.fit(experiment(drawn, **change), tmp_path / "mine")
    assert ran == redone


@pytest.mark.parametrize(
    ("place", "after", "redone"),
    [
        ("tag2mask.mapping.write_tensors", 3, BEFORE[1:]),
        ("tag2mask.seeding.write_labels", 4, BEFORE[2:]),
    ],
)
def test_a_kill_changes_no_byte(
    finished: Path,
    drawn: Path,
    tmp_path: Path,
    ran: list[str],
    place: str,
    after: int,
    redone: list[str],
) -> None:
    out = tmp_path / "mine"
    with stopped(place, after), pytest.raises(KeyboardInterrupt):
        pipeline.fit(experiment(drawn), out)
    ran.clear()
    pipeline.fit(experiment(drawn), out)
    assert ran == [*redone, *OWN]
    assert contents(out) == contents(finished)


@dataclass(frozen=True)
class ReaderOptions(CAMOptions):
    """Stand for the options of a method that asks for the classifier alone."""


class Reader(CAMHost, AfterClassifier):
    """Such a method."""

    Options: ClassVar[type[ReaderOptions]] = ReaderOptions
    heard: ClassVar[list[Mapping[str, Tensor]]] = []

    def __init__(self, options: ReaderOptions, backbone: Backbone, classes: int) -> None:
        super().__init__(backbone, classes)

    def take(self, weights: Mapping[str, Tensor]) -> None:
        self.heard.append(weights)

    def losses(self, batch: TagBatch, progress: float) -> dict[str, Tensor]:
        return self.look(batch, progress)[0]

    def optimizers(self) -> Sequence[Optimizer]:
        return [two_rates(self, 1e-3, 10.0, 0.0)]

    localize = CAMHost.evidence


def test_a_method_may_ask_for_the_classifier_alone(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "reader", Reader)
    reading = experiment(drawn, method=ReaderOptions())
    context = Context(reading, open_run(tmp_path / "run", {}), open_data(reading.data))
    stages.check_photographs(context, context.run.stage("data"))
    pipeline._before(context, "stamp", {})
    folder = tmp_path / "run"
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["data", "first"]
    stages.train_method(context, context.run.stage("classifier"))
    (heard,) = Reader.heard
    expected = load_file(folder / "first" / "weights.safetensors")
    assert heard.keys() == expected.keys()
    assert all(torch.equal(heard[name], tensor) for name, tensor in expected.items())


def test_other_methods_have_no_stages_before_their_training(drawn: Path, tmp_path: Path) -> None:
    cam = experiment(drawn, method=CAMOptions())
    context = Context(cam, open_run(tmp_path / "run", {}), open_data(cam.data))
    assert pipeline._before(context, "stamp", {}) == "stamp"
