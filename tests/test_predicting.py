"""`tag2mask predict`: which photographs, in what order, what is kept, and what is refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.shapes import draw_set, fit_words
from PIL import Image

from tag2mask import predicting, stages
from tag2mask.cli import main
from tag2mask.data import Photo
from tag2mask.errors import InputError
from tag2mask.predicting import decoded, find_photographs, natural
from tag2mask.storage import read_labels, write_labels


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("set"), train=6, test=3)


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mine"
    main(fit_words(drawn, out, "--backbone", "tf_efficientnet_lite0"))  # its masks have shapes
    return out


def frames(folder: Path, count: int, size: tuple[int, int] = (40, 30)) -> Path:
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"frame{number + 1}.png")
    return folder


def predict(run: Path, *words: Path | str) -> None:
    main(["predict", str(run), *(str(word) for word in words)])


def refused(run: Path, *words: Path | str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        predict(run, *words)
    assert left.value.code == 2
    return capsys.readouterr().err


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["b", "frame10", "frame2", "frame02b", "10", "9", "a/2", "a/10", "frame", "٣"]
    ordered = ["9", "10", "a/2", "a/10", "b", "frame", "frame2", "frame02b", "frame10", "٣"]
    assert sorted(names, key=natural) == ordered


def test_folders_files_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames(tmp_path / "day" / "inner", 2)
    frames(tmp_path / "day", 11)
    (tmp_path / "day" / "notes.txt").write_text("no photograph")
    monkeypatch.chdir(tmp_path)
    out = Path("day/masks")
    frames(out, 1)
    found = find_photographs([Path("day")], out)
    inner = ["inner/frame1", "inner/frame2"]
    assert [photo.id for photo in found] == [f"frame{n}" for n in range(1, 12)] + inner
    by_pattern = find_photographs([Path("day/frame1*.png"), Path("day/inner/frame2.png")], out)
    assert [photo.id for photo in by_pattern] == ["frame1", "frame10", "frame11", "frame2"]
    deep = find_photographs([Path("**/inner/*.png")], out)
    assert [photo.path.as_posix() for photo in deep] == [f"day/{name}.png" for name in inner]
    odd = tmp_path / "[1].png"
    (tmp_path / "day" / "frame1.png").replace(odd)
    assert [photo.path for photo in find_photographs([odd], out)] == [odd]


@pytest.mark.parametrize("place", ["nowhere.jpg", "*.jpg", "empty"])
def test_places_without_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is not there|no photographs"):
        find_photographs([Path(place)], tmp_path / "out")


def test_overlays_show_masks_on_photographs(finished: Path, drawn: Path, tmp_path: Path) -> None:
    predict(finished, drawn / "photos", "--out", tmp_path, "--overlay")
    for path in sorted((drawn / "photos").iterdir()):
        labels = read_labels(tmp_path / f"{path.stem}.png").numpy()
        with Image.open(path) as photo, Image.open(tmp_path / f"overlays/{path.stem}.jpg") as seen:
            assert (seen.format, seen.size) == ("JPEG", photo.size)
            gap = np.abs(np.asarray(seen, dtype=float) - np.asarray(photo, dtype=float)).mean(2)
        if (labels == 0).any() and (labels > 0).any():
            assert gap[labels > 0].mean() > 3 * gap[labels == 0].mean()


def test_overlays_of_large_photographs_are_small_enough_to_look_at() -> None:
    labels = torch.zeros(1000, 4000, dtype=torch.uint8)
    labels[:, 2000:] = 1
    image = torch.zeros(3, 1000, 4000, dtype=torch.uint8)
    seen = predicting.looked_at(image, labels)
    assert seen.shape == (3, 400, 1600)
    assert seen[:, :, :790].sum() == 0
    assert (seen[0, :, 820:] > 50).all()


def test_what_is_there_stays_and_what_changed_is_made_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = frames(tmp_path / "photos", 4), tmp_path / "out"
    predict(finished, photos, "--out", out)
    made = {path.name: path.read_bytes() for path in out.glob("*.png")}
    (out / "frame2.png").unlink()
    touched = torch.full((30, 40), 2, dtype=torch.uint8)
    write_labels(out / "frame3.png", touched)
    later = (out / "frame4.png").stat().st_mtime + 10
    write_labels(out / "frame4.png", touched)
    os.utime(photos / "frame4.png", (later, later))
    asked: list[str] = []
    original = stages.predict

    def noted(network: Any, ids: Sequence[str], *rest: Any) -> Any:
        asked.extend(ids)
        return original(network, ids, *rest)

    monkeypatch.setattr(stages, "predict", noted)
    predict(finished, photos, "--out", out)
    assert asked == ["frame2", "frame4"]
    assert torch.equal(read_labels(out / "frame3.png"), touched)
    for name in ("frame2.png", "frame4.png"):
        assert (out / name).read_bytes() == made[name]
    asked.clear()
    os.utime(photos / "frame4.png", (0, 0))
    predict(finished, photos, "--out", out, "--overlay")
    assert len(asked) == len(list((out / "overlays").iterdir())) == 4


def test_masks_of_another_network_are_not_mixed_in(
    finished: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = frames(tmp_path / "photos", 1), tmp_path / "out"
    predict(finished, photos, "--out", out)
    claim = json.loads((out / "predict.json").read_text())
    claim |= {"stamp": "another", "run": "runs/other"}
    (out / "predict.json").write_text(json.dumps(claim))
    said = refused(finished, photos, "--out", out, capsys=capsys)
    assert "another network" in said
    assert "runs/other" in said
    before = (photos / "frame1.png").read_bytes()
    said = refused(finished, photos, "--out", photos, capsys=capsys)
    assert "There are no photographs" in said
    said = refused(finished, photos / "frame1.png", "--out", photos, capsys=capsys)
    assert "did not make it" in said
    assert (photos / "frame1.png").read_bytes() == before


def test_broken_photographs_stop_no_others(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = frames(tmp_path / "photos", 4), tmp_path / "out"
    whole = (photos / "frame2.png").read_bytes()
    (photos / "frame2.png").write_bytes(whole[: len(whole) // 2])
    (photos / "frame3.png").write_text("no picture")
    said = refused(finished, photos, "--out", out, "--boxes", capsys=capsys)
    assert "2 of 4 photographs cannot be read" in said
    assert "frame2" in said
    assert "frame3" in said
    assert sorted(path.name for path in out.glob("*.png")) == ["frame1.png", "frame4.png"]
    predict(finished, photos, "--out", out, "--boxes", "--skip-bad")
    images = json.loads((out / "boxes.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["frame1.png", "frame4.png"]


def test_ctrl_c_keeps_what_is_finished(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photos, out = frames(tmp_path / "photos", 20), tmp_path / "out"
    written, original = [], predicting.write_labels

    def interrupted(path: Path, labels: torch.Tensor) -> None:
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path)
        original(path, labels)

    monkeypatch.setattr(predicting, "write_labels", interrupted)
    with pytest.raises(SystemExit) as left:
        predict(finished, photos, "--out", out)
    assert left.value.code == 130
    assert "goes on where this one stood" in capsys.readouterr().err
    assert sorted(out.glob("*.png")) == sorted(written)
    assert not list(out.rglob("*.tmp"))
    monkeypatch.setattr(predicting, "write_labels", original)
    predict(finished, photos, "--out", out)
    assert len(list(out.glob("*.png"))) == 20


def test_no_more_than_a_few_are_decoded_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(tmp_path / "a", 40)
    photos = [Photo(path.stem, path, ()) for path in (tmp_path / "a").iterdir()]
    alive, most, lock, original = 0, 0, threading.Lock(), predicting.read_image

    def counted(path: Path) -> torch.Tensor:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return original(path)

    monkeypatch.setattr(predicting, "read_image", counted)
    seen = []
    for batch in decoded(photos, 2, {}):
        assert len(batch) == 2
        seen += [photo.id for photo, _ in batch]
        with lock:
            alive -= len(batch)
    assert sorted(seen) == sorted(photo.id for photo in photos)
    assert most <= 2 * 4


def test_large_photographs_come_in_short_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames(tmp_path, 5, (40, 30))
    photos = find_photographs([tmp_path], tmp_path / "out")
    for budget, lengths in ((40 * 30 * 2, [2, 2, 1]), (10, [1] * 5), (10**9, [5])):
        monkeypatch.setattr(predicting, "BATCH_PIXELS", budget)
        assert [len(batch) for batch in decoded(photos, 8, {})] == lengths
