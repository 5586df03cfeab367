from typing import Any

import pytest

from tag2mask.report import headline


def score(miou: float, images: int = 9) -> dict[str, Any]:
    return {"miou": miou, "images": images}


JUDGED = {"photographs": {"a": {"doubts": []}, "b": {"doubts": ["why"]}, "c": {"doubts": []}}}


def test_the_held_out_network_comes_first_then_its_pupils_and_teachers() -> None:
    train = {"maps": score(0.1), "masks": score(0.2), "network": score(0.3)}
    found = headline({"splits": {"train": train, "test": {"network": score(0.4, 7)}}}, JUDGED)
    assert (found.number, found.what) == ("40.0", "mIoU of the network on 7 held-out photographs")
    assert [strong for strong, _ in found.asides] == ["30.0", "20.0"]
    assert (found.doubtful, found.estimated) == (1, 3)


def test_the_interval_over_photographs_stands_behind_the_number() -> None:
    known = {**score(0.4, 7), "interval": [0.35, 0.45]}
    found = headline({"splits": {"test": {"network": known}}}, None)
    assert found.what.endswith("photographs; 95\u00a0% interval over photographs 35.0 … 45.0")


def test_a_little_truth_speaks_for_all() -> None:
    entry = {"mean": 0.5, "low": 0.4, "high": 0.6, "known": 20, "total": 300}
    scores = {"splits": {"train": {"masks": score(0.9)}}, "powered": {"pseudo masks": entry}}
    found = headline(scores, JUDGED)
    assert (found.number, found.unit) == ("50.0", "± 10.0")
    assert "all 300" in found.what
    assert "truth for 20" in found.what
    assert "40.0 … 60.0" in found.what


@pytest.mark.parametrize("quality", [JUDGED, {}])
def test_without_truth_nothing_is_scored(quality: dict[str, Any]) -> None:
    found = headline({"splits": {}}, quality)
    assert "nothing is scored" in found.what
    assert (found.number, found.unit) == (("2", "of 3") if quality else ("–", ""))
