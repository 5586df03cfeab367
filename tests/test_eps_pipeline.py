"""Tags and saliency the whole way: from a folder, from a model, and when something is missing."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.shapes import draw_set, fit_words
from PIL import Image
from torch import Tensor, nn

from tag2mask.cli import main
from tag2mask.data import DataOptions, open_data, open_saliency
from tag2mask.nn.saliency import SaliencyModel
from tag2mask.sources import GivenSaliency, ModelSaliency, Photographs


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with `saliency/`: the union of its objects."""
    folder = draw_set(tmp_path_factory.mktemp("set"))
    (folder / "saliency").mkdir()
    for path in (folder / "truth").iterdir():
        with Image.open(path) as mask:
            union = (np.asarray(mask) > 0).astype(np.uint8) * 255
        Image.fromarray(union).save(folder / "saliency" / path.name)
    return folder


class Redness(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images[:, :1].sigmoid()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "red.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Redness(), torch.rand(1, 3, 16, 16))  # type: ignore
        torch.jit.save(traced, path)  # type: ignore
    return path


def stored(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text(encoding="utf-8"))


def terms(out: Path) -> set[str]:
    lines = (out / "classifier" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return set(json.loads(lines[-1])["terms"])


def test_eps_goes_the_whole_way_and_says_what_taught_it(drawn: Path, tmp_path: Path) -> None:
    saliency, out = tmp_path / "salient", tmp_path / "run"
    shutil.copytree(drawn / "saliency", saliency)
    words = fit_words(drawn, out, "--method", "eps", "--saliency", str(saliency))
    main([*words, "--truth", str(drawn / "truth")])
    assert terms(out) == {"tags", "saliency"}
    card = stored(out, "supervision.json")
    assert card[0] == "image tags of 10 photographs"
    assert card[1].startswith("saliency of 10 photographs, from the folder salient (given by the u")
    assert stored(out, "scores.json")["setting"] == "I+S"
    assert "saliency of 10 photographs" in (out / "report" / "index.html").read_text("utf-8")
    before = (out / "classifier" / "stamp").read_text(encoding="utf-8")
    os.utime(saliency / "p003.png", (1, 1))
    main([*words, "--until", "masks"])
    assert (out / "classifier" / "stamp").read_text(encoding="utf-8") != before


def test_fbr_with_a_model_is_fbr_on_eps(drawn: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ("--method", "fbr", "--saliency", str(model), "--saliency-side", "32")
    main(fit_words(drawn, out, *more, "--until", "masks"))
    assert {"tags", "saliency", "against background"} <= terms(out)
    assert len(list((out / "cues").glob("*.safetensors"))) == 10
    assert stored(out, "experiment.json")["method"]["host"] == "eps"
    assert "made by the model red.pt (given by" in stored(out, "supervision.json")[1]


def test_a_missing_map_ends_the_run_or_leaves_its_photograph_out(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(drawn / "saliency", tmp_path / "some")
    (tmp_path / "some" / "p003.png").unlink()
    words = fit_words(drawn, tmp_path / "run", "--method", "eps", "--until", "masks")
    with pytest.raises(SystemExit) as caught:
        main([*words, "--saliency", str(tmp_path / "some")])
    assert caught.value.code == 2
    assert "'p003' has no saliency map" in capsys.readouterr().err
    main([*words, "--saliency", str(tmp_path / "some"), "--skip-bad"])
    assert len(list((tmp_path / "run" / "masks").glob("*.png"))) == 9
    with pytest.raises(SystemExit):
        main(words)
    assert "learns from saliency, and none was given" in capsys.readouterr().err


@pytest.fixture
def photographs(drawn: Path) -> Photographs:
    data = open_data(DataOptions(drawn / "photos", drawn / "labels.csv"))
    return Photographs(data.train.photos, 2, 40)


def test_given_maps_are_as_small_as_the_photographs(drawn: Path, photographs: Photographs) -> None:
    folder = open_saliency(drawn / "saliency")
    assert folder is not None
    source = GivenSaliency(photographs, folder)
    assert len(source) == 14
    for number in range(3):
        photo, values = photographs.photos[number], source[number]
        assert values.shape == photographs[number].image.shape[1:]
        with Image.open(drawn / "saliency" / f"{photo.id}.png") as whole:
            mean = np.asarray(whole).mean() / 255
        assert float(values.mean()) == pytest.approx(mean, abs=0.02)


def test_a_model_looks_once_at_every_photograph(
    photographs: Photographs, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ModelSaliency(photographs, SaliencyModel(model, 24), tmp_path / "cues")
    source.fill()
    expected = SaliencyModel(model, 24)(photographs[2].image)
    torch.testing.assert_close(source[2], expected, rtol=0, atol=0.5 / 255 + 1e-6)
    names = set((tmp_path / "cues").iterdir())
    assert len(names) == 14

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(SaliencyModel, "__call__", never)
    source.fill()
    monkeypatch.undo()
    other = ModelSaliency(photographs, SaliencyModel(model, 16), tmp_path / "cues")
    other.fill()
    assert len(set((tmp_path / "cues").iterdir())) == 28  # another size, other files
