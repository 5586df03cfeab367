from __future__ import annotations

import shutil

import pytest
import torch
from oracles.shapes import draw_set, fit_words
from oracles.untrained import Untrained

from tag2mask.cli import main
from tag2mask.data import read_image
from tag2mask.data.truth import MaskFolder
from tag2mask.estimates import asked_again, powered_scores, shrink_labels
from tag2mask.evaluate.quality import COMBINED
from tag2mask.storage import read_json, read_labels
from tag2mask.types import TaggedImage


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def few(drawn, tmp_path_factory):
    """True masks of six of the ten training photographs."""
    folder = tmp_path_factory.mktemp("few")
    ids = (drawn / "train.txt").read_text(encoding="utf-8").split()
    for photo in [i for i in ids if (drawn / "truth" / f"{i}.png").is_file()][:6]:
        shutil.copy(drawn / "truth" / f"{photo}.png", folder)
    return folder


@pytest.fixture(scope="module")
def finished(drawn, few, tmp_path_factory):
    """A run that saw a little truth, and asked its classifier again."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out, "--truth", str(few), "--quality.look-again"))
    return out


def test_every_tagged_photograph_is_judged(finished):
    quality = read_json(finished / "quality.json")
    judged = quality["photographs"]
    masks = {path.stem for path in (finished / "masks").glob("*.png")}
    assert set(judged) <= masks
    assert len(judged) >= 8
    again = {"mirrored", "kept", "erased", "area"}
    for entry in judged.values():
        assert set(entry["measures"]) == {*COMBINED, *again}
        assert all(0 <= value <= 1 for value in entry["measures"].values())
        mean = sum(entry["measures"][name] for name in COMBINED) / len(COMBINED)
        assert entry["estimate"] == pytest.approx(mean, abs=1e-3)


def test_a_little_truth_is_told_of_all(finished, few):
    powered = read_json(finished / "scores.json")["powered"]
    entry = powered["pseudo masks"]
    assert entry["known"] == 6
    assert entry["total"] == len(read_json(finished / "quality.json")["photographs"])
    assert entry["low"] <= entry["mean"] <= entry["high"]
    ious = []
    for path in few.glob("*.png"):
        truth, labels = read_labels(path), read_labels(finished / "masks" / path.name)
        occur = set(truth.unique().tolist()) | set(labels.unique().tolist())
        shares = [
            int(((truth == n) & (labels == n)).sum()) / int(((truth == n) | (labels == n)).sum())
            for n in occur
        ]
        ious.append(sum(shares) / len(shares))
    assert entry["plain"] == pytest.approx(sum(ious) / len(ious))
    page = (finished / "report" / "index.html").read_text(encoding="utf-8")
    assert "estimated from truth for 6" in page


def test_score_with_truth_says_the_same(finished, few, capsys):
    main(["score", str(finished), "--truth", str(few)])
    told = capsys.readouterr().out
    found = powered_scores(finished, MaskFolder(few, 2), 2)
    assert f"{100 * found['pseudo masks']['mean']:.1f}" in told
    assert found == read_json(finished / "scores.json")["powered"]
    assert "drawn at random" in told


def test_too_little_truth_is_refused(finished, few, tmp_path, capsys):
    for path in sorted(few.glob("*.png"))[:4]:
        shutil.copy(path, tmp_path)
    with pytest.raises(SystemExit):
        main(["score", str(finished), "--truth", str(tmp_path)])
    assert "fewer than 5" in capsys.readouterr().err


class Average(Untrained):
    """Sees class c in the mean of colour c, and where it is bright."""

    def localize(self, images, tags):
        return torch.nn.functional.avg_pool2d(images, 8) / 255

    def classify(self, images):
        return images.mean(dim=(2, 3)) / 255


def test_the_classifier_is_shown_what_is_inside_and_what_is_outside(drawn):
    image = read_image(drawn / "photos" / "p001.png")[:, :64, :64].contiguous()
    item = TaggedImage("p001", image, torch.tensor([True, False, True]))
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[16:40, 8:40] = 1
    mask[50:, 50:] = 3
    found = asked_again(Average(), item, mask, torch.device("cpu"))
    picture = image.double()
    kept, erased = [], []
    for label, channel in ((1, 0), (3, 2)):
        inside = mask == label
        colour = picture[channel].mean()
        alone = torch.where(inside, picture[channel], colour).mean() / 255
        without = torch.where(inside, colour, picture[channel]).mean() / 255
        kept.append(1 / (1 + float(torch.exp(-alone))))
        erased.append(1 - 1 / (1 + float(torch.exp(-without))))
    assert found["kept"] == pytest.approx(sum(kept) / 2, abs=1e-5)
    assert found["erased"] == pytest.approx(sum(erased) / 2, abs=1e-5)
    assert found["mirrored"] == pytest.approx(1, abs=1e-5)


def test_labels_are_shrunk_without_new_ones():
    labels = torch.tensor([[0, 0, 3, 3], [0, 0, 3, 3]], dtype=torch.uint8)
    assert shrink_labels(labels, (1, 2)).tolist() == [[0, 3]]
