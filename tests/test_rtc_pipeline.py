"""A method that segments by itself, the whole way: no second network, unless one is wanted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from oracles.shapes import draw_set, fit_words

from tag2mask.cli import main
from tag2mask.data import read_image
from tag2mask.experiment import from_json
from tag2mask.segment import predict
from tag2mask.stages import build_method
from tag2mask.storage import read_json, read_labels, read_tensors

WORDS = ("--method", "rtc", "--rtc.width", "8", "--rtc.warmup", "0.3")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out, *WORDS, "--truth", str(drawn / "truth")))
    return out


def by_hand(run: Path, image: Path) -> torch.Tensor:
    """Labels of one photograph, straight from the method."""
    experiment = from_json(read_json(run / "experiment.json"))
    method = build_method(experiment, 2).eval()
    method.load_state_dict(read_tensors(run / "classifier" / "weights.safetensors"))
    with torch.inference_mode():
        given = ["one"], [read_image(image)], experiment.size, experiment.segment.scales
        return predict(method.segment, *given, True, torch.device("cpu"))[0].labels


def test_the_method_itself_predicts(finished: Path, drawn: Path) -> None:
    assert not (finished / "network").exists()
    lines = (finished / "classifier" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert "segmentation" in json.loads(lines[-1])["terms"]
    assert len(list((finished / "predictions").glob("*.png"))) == 14
    assert len(list((finished / "masks").glob("*.png"))) == 10
    found = read_labels(finished / "predictions" / "p001.png")
    assert torch.equal(found, by_hand(finished, drawn / "photos" / "p001.png"))
    splits = json.loads((finished / "scores.json").read_text(encoding="utf-8"))["splits"]
    assert set(splits["train"]) >= {"maps", "masks", "network"}
    assert (finished / "report" / "index.html").is_file()


def test_a_new_photograph_needs_no_tags_and_no_network(
    finished: Path, drawn: Path, tmp_path: Path
) -> None:
    photo = drawn / "photos" / "p003.png"
    main(["predict", str(finished), str(photo), "--out", str(tmp_path)])
    assert torch.equal(read_labels(tmp_path / "p003.png"), by_hand(finished, photo))


def test_a_second_network_learns_what_the_method_segments(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "two", (*WORDS, "--second-network", "segmented")
    main(fit_words(drawn, out, *words))
    assert str(out / "network" / "weights.safetensors") in "".join(capsys.readouterr().out.split())
    for name in ("segmented", "network"):
        assert (out / name / "stamp").is_file()
    assert len(list((out / "segmented").glob("*.png"))) == 10
    for name in ("classifier/weights.safetensors", "masks/p001.png"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()
    alone = (finished / "predictions" / "p001.png").read_bytes()
    assert (out / "segmented" / "p001.png").read_bytes() == alone
    main(["predict", str(out), str(drawn / "photos" / "p001.png"), "--out", str(tmp_path / "new")])
    learned = read_labels(out / "predictions" / "p001.png")
    assert torch.equal(read_labels(tmp_path / "new" / "p001.png"), learned)


def test_a_second_network_learns_the_pseudo_masks(
    finished: Path, drawn: Path, tmp_path: Path
) -> None:
    out = tmp_path / "two"
    shutil.copytree(finished, out)
    before = (out / "classifier" / "weights.safetensors").stat().st_mtime_ns
    main(fit_words(drawn, out, *WORDS, "--second-network", "masks"))
    assert (out / "classifier" / "weights.safetensors").stat().st_mtime_ns == before
    assert (out / "network" / "weights.safetensors").is_file()
    assert not (out / "segmented").exists()
    main(["predict", str(out), str(drawn / "photos" / "p001.png"), "--out", str(tmp_path / "new")])
    learned = read_labels(out / "predictions" / "p001.png")
    assert torch.equal(read_labels(tmp_path / "new" / "p001.png"), learned)


def test_an_unfinished_run_cannot_predict(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "experiment.json").write_bytes((finished / "experiment.json").read_bytes())
    with pytest.raises(SystemExit):
        main(["predict", str(run), str(drawn / "photos"), "--out", str(tmp_path / "new")])
    assert "no finished network" in capsys.readouterr().err


def test_the_network_of_other_methods_is_no_second_one(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(fit_words(drawn, tmp_path / "run", "--second-network", "masks"))
    assert (
        "--second-network came, but the network is the first one of cam" in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
