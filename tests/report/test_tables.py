import copy
import io
import re
from typing import Any

import pytest
from rich.console import Console, RenderableType

from tag2mask.report.tables import compare_table, scores_table

MAPS = {
    "miou": 0.5512,
    "iou": {"background": 0.8, "cat [bold]": 0.3024, "dog": None},
    "precision": {"background": 0.9, "cat [bold]": 0.5, "dog": None},
    "recall": {"background": 0.85, "cat [bold]": 0.45, "dog": None},
    "over_activation": 0.2149,
    "under_activation": 0.1312,
    "boundary_iou": None,
    "pixel_accuracy": 0.9,
    "images": 40,
    "level": 0.35,
    "level_source": "blind",
    "oracle": {"miou": 0.5931, "level": 0.42},
    "curve": {"levels": [0.0, 0.35, 0.42, 1.0], "miou": [0.1, 0.5512, 0.5931, 0.2]},
}
NETWORK = {
    **MAPS,
    "miou": 0.6666,
    "level": None,
    "level_source": None,
    "oracle": None,
    "curve": None,
}
SCORES: dict[str, Any] = {
    "classes": ["cat [bold]", "dog"],
    "supervision": ["tags"],
    "splits": {"train": {"maps": MAPS, "network": NETWORK}, "test": {"network": NETWORK}},
}


def text(table: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    printed = console.file
    assert isinstance(printed, io.StringIO)
    return printed.getvalue()


def row(printed: str, name: str) -> list[str]:
    return next(line for line in printed.splitlines() if line.strip().startswith(name)).split()


def test_scores_are_percent_with_one_decimal() -> None:
    printed = text(scores_table(SCORES))
    assert row(printed, "maps") == [
        "maps",
        "55.1",
        "70.0",
        "65.0",
        "21.5",
        "13.1",
        "–",
        "0.35",
        "blind",
    ]
    assert "train, 40 images" in printed
    assert "test, 40 images" in printed


def test_the_oracle_says_that_it_uses_truth() -> None:
    printed = text(scores_table(SCORES))
    assert row(printed, "oracle")[-2:] == ["59.3", "0.42"]
    assert printed.count("oracle (uses truth)") == 1


def test_class_names_are_printed_as_they_are() -> None:
    printed = text(scores_table(SCORES))
    assert row(printed, "cat [bold]") == ["cat", "[bold]", "30.2", "30.2", "30.2"]
    assert row(printed, "dog") == ["dog", "–", "–", "–"]


@pytest.mark.parametrize("scores", [{}, {"splits": {}}, {"splits": {"train": {}}}])
def test_without_truth_a_sentence_stands_instead(scores: dict[str, Any]) -> None:
    assert text(scores_table(scores)).strip() == "No truth was given, so nothing is scored."
    assert (
        text(compare_table({"mine": scores})).strip() == "No truth was given, so nothing is scored."
    )


def test_comparing_puts_runs_in_rows_and_keeps_what_is_missing_apart() -> None:
    upper = copy.deepcopy(SCORES)
    del upper["splits"]["train"]
    upper["splits"]["test"]["network"]["miou"] = 0.712
    upper["supervision"] = ["masks"]
    upper["setting"] = "masks"
    printed = text(compare_table({"cam [x]": SCORES, "b": SCORES, "upper": upper, "bare": {}}))
    assert row(printed, "cam [x]") == ["cam", "[x]", "55.1", "66.7", "66.7", "I"]
    assert row(printed, "upper") == ["upper", "–", "–", "71.2", "masks"]
    assert row(printed, "bare") == ["bare", "–", "–", "–", "I"]
    assert printed.split("\n")[-3:] == ["cam [x], b: tags.", "upper: masks.", ""]


def test_supervisions_stand_apart_and_each_has_its_best() -> None:
    def run(setting: str, miou: float) -> dict[str, Any]:
        network = {**NETWORK, "miou": miou}
        return {"setting": setting, "splits": {"test": {"network": network}}, "supervision": []}

    runs = {"b": run("I+S", 0.7), "a": run("I", 0.4), "d": run("masks", 0.9), "c": run("I", 0.5)}
    del runs["c"]["setting"]  # a run of before
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(compare_table(runs))
    printed = console.file
    assert isinstance(printed, io.StringIO)
    lines = printed.getvalue().splitlines()
    plain = [re.sub("\x1b[^m]*m", "", line) for line in lines]
    rows = {name: next(n for n, x in enumerate(plain) if x.split()[:1] == [name]) for name in runs}
    assert sorted(rows, key=rows.__getitem__) == ["a", "c", "b", "d"]
    bold = {name for name, n in rows.items() if "\x1b[1m" in lines[n]}
    assert bold == {"b", "c", "d"}


def test_boxes_have_a_table_of_their_own() -> None:
    oracle = {"max_box_acc": 0.75, "level": 0.25, "top1": 0.6, "max_box_acc_v2": 0.625}
    maps = {"objects": 8, "accuracy": 0.5, "top1": 0.25, "top5": 0.375, "level": 0.35}
    maps |= {"level_source": "blind", "oracle": {**oracle, "top5": 0.7}}
    network = {"objects": 8, "accuracy": 0.875, "level": None, "oracle": None}  # a run of before
    boxes = {"train": {"images": 7, "drawn": 0, "maps": maps, "network": network}}
    printed = text(scores_table({"splits": {}, "boxes": boxes}))
    assert "train, boxes of 7 images" in printed
    assert row(printed, "maps") == ["maps", "50.0", "25.0", "37.5", "0.35", "blind"]
    assert row(printed, "oracle")[-5:] == ["75.0", "60.0", "70.0", "62.5", "0.25"]
    assert row(printed, "network") == ["network", "87.5", "–", "–", "–"]
    assert printed.count("oracle") == 1
    assert "boxes of" not in text(scores_table(SCORES))
