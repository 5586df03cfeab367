"""Refiners that are trained first, as stages of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles.interrupted import stopped
from oracles.shapes import draw_set, small_experiment
from safetensors.torch import load_file

from tag2mask import learned, mapping, pipeline
from tag2mask.affinity import AffinityWalk, IRNOptions, PSAOptions
from tag2mask.data import read_image
from tag2mask.errors import InputError
from tag2mask.experiment import Experiment
from tag2mask.masks import blind_level
from tag2mask.refine import irn_labels
from tag2mask.seeding import blind_seeds
from tag2mask.storage import read_json, read_labels
from tag2mask.train import TrainOptions

OWN = ["irn-labels", "irn", "refined-1-irn", "refined", "masks"]
BEHIND = ["network", "predictions", "quality", "scores", "report"]
SAID = BEHIND  # by stages that only say that they would work


def experiment(drawn: Path, **changes: Any) -> Experiment:
    options: dict[str, Any] = {
        "refine": "irn,crf",
        "irn": IRNOptions(width=32, radius=3),
        "affinity": TrainOptions(steps=4, batch=2, checkpoint=0.0),
    }
    return small_experiment(drawn, **(options | changes))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=0)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    pipeline.fit(experiment(drawn), out)
    return out


def ids(drawn: Path) -> list[str]:
    return (drawn / "train.txt").read_text(encoding="utf-8").splitlines()


def contents(run: Path) -> dict[str, bytes]:
    files = [path for name in OWN for path in sorted((run / name).rglob("*"))]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in files if path.is_file()}


def test_labels_are_those_of_which_the_maps_are_sure(finished: Path, drawn: Path) -> None:
    cams = {name: mapping.read_maps(finished / "maps", name) for name in ids(drawn)}
    levels = blind_seeds(blind_level(mapping.peaks(cams.values())))
    told = read_json(finished / "irn-labels" / "levels.json")
    assert told == {"foreground": levels.foreground, "background": levels.background}
    for name, maps in cams.items():
        image = read_image(drawn / "photos" / f"{name}.png")
        expected = irn_labels(image, maps, levels.foreground, levels.background)
        assert torch.equal(read_labels(finished / "irn-labels" / f"{name}.png"), expected)


def test_maps_are_those_of_the_trained_network(finished: Path, drawn: Path) -> None:
    irn = experiment(drawn)
    network = learned.build_affinity(irn, "irn")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(load_file(finished / "irn" / "weights.safetensors"))
    after = network.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == name.startswith("pyramid."), name
    name = ids(drawn)[2]
    image = read_image(drawn / "photos" / f"{name}.png")
    expected = AffinityWalk(network, 64.0)(image, mapping.read_maps(finished / "maps", name))
    found = mapping.read_refined(finished / "refined-1-irn", name)
    torch.testing.assert_close(found.maps, expected.maps, rtol=0, atol=0.5 / 255 + 1e-6)
    assert not (finished / "irn" / "checkpoint.safetensors").exists()


def test_no_other_supervision(finished: Path) -> None:
    told = json.loads((finished / "supervision.json").read_text(encoding="utf-8"))
    assert told[0] == "image tags of 6 photographs"
    assert len(told) == 3  # also pretrained weights, and the blind level


def test_nothing_is_done_again(finished: Path, drawn: Path, ran: list[str]) -> None:
    pipeline.fit(experiment(drawn), finished)
    assert ran == []


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"irn": IRNOptions(width=32, radius=3, beta=2.0)}, OWN[2:]),
        ({"irn": IRNOptions(width=32, radius=2)}, OWN[1:]),
        ({"irn": IRNOptions(0.6, 0.1, radius=3, width=32)}, OWN),
        ({"affinity": TrainOptions(steps=3, batch=2)}, OWN[1:]),
        ({"refine": "irn"}, ["refined", "masks"]),
        (
            {"refine": "par,psa", "psa": PSAOptions(width=8)},
            ["refined-1-par", "psa-labels", "psa", "refined", "masks"],
        ),
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
    assert ran == [*redone, *BEHIND]


@pytest.mark.parametrize(
    ("place", "after", "redone"),
    [
        ("tag2mask.seeding.write_labels", 2, OWN),
        ("tag2mask.train.loop.save_checkpoint", 5, OWN[1:]),
        ("tag2mask.mapping.write_tensors", 9, OWN[2:]),
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
    out, often = tmp_path / "mine", TrainOptions(steps=3, batch=4, checkpoint=0.0)
    with stopped(place, after), pytest.raises(KeyboardInterrupt):
        pipeline.fit(experiment(drawn, train=often), out)
    ran.clear()
    pipeline.fit(experiment(drawn, train=often), out)
    assert ran == [*redone, *BEHIND]
    assert contents(out) == contents(finished)


def test_a_learned_refiner_is_named_once(drawn: Path) -> None:
    with pytest.raises(InputError, match="--refine irn,par,irn came, but irn is trained once"):
        experiment(drawn, refine="irn,par,irn")
