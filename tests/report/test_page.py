import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from skimage.data import astronaut

from tag2mask.report import GalleryItem, Headline, PageContent, write_page

NASTY = "<script>alert('1')</script> \"quoted\" & {{ 7 * 7 }}"
SCORE = {
    "miou": 0.5512,
    "iou": {"background": 0.8, "cat": 0.3, NASTY: None},
    "precision": {"background": 0.9, "cat": 0.5, NASTY: None},
    "recall": {"background": 0.85, "cat": 0.45, NASTY: None},
    "over_activation": 0.21,
    "under_activation": 0.13,
    "boundary_iou": None,
    "pixel_accuracy": 0.9,
    "images": 40,
    "level": 0.35,
    "level_source": "blind",
    "oracle": {"miou": 0.5931, "level": 0.42},
    "curve": {"levels": [0.0, 0.35, 0.42, 1.0], "miou": [0.1, 0.5512, 0.5931, 0.2]},
}
LOG = [
    {"step": step, "lr": 0.1, "total": 1.0 / (step + 1), "terms": {"a": 1.0}} for step in range(9)
]


def item(name: str, *tags: int, side: int = 32) -> GalleryItem:
    generator = torch.Generator().manual_seed(len(name))
    image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(side, side, dtype=torch.uint8)
    labels[4:20, 4:20] = 1
    maps = tuple((tag, torch.full((3, 3), 0.1 * tag)) for tag in tags)
    decisions = {"pseudo mask": labels, "network": labels, "truth": labels}
    numbers = {"estimate": 0.5, "score": 0.61}
    return GalleryItem(
        name, "train", tags, image, maps, decisions, {"network": 0.61}, numbers, ("why",), "note"
    )


def content(**changes: Any) -> PageContent:
    page = PageContent(
        name="demo", method="CAM", backbone="tf_efficientnet_lite0", data="demo", images=800,
        machine="2 CPU cores", seconds=702.0, seed=0, classes=("cat", NASTY),
        supervision=("image tags", "weights trained on ImageNet-1k"),
        headline=Headline("43.3", "41.0 … 45.6", "mIoU", (("37.9", "masks"),), 12, 80),
        scores={"splits": {"train": {"maps": SCORE}, "test": {"network": SCORE}}},
        training={"classifier": LOG, "network": LOG}, together=[[9, 4], [4, 5]], level=0.43,
        gallery=(item("one", 1), item("two/three", 1, 2), item(NASTY, 2)), shown=3, photographs=3,
    )  # fmt: skip
    return replace(page, **changes)


def written(page: PageContent, folder: Path) -> str:
    write_page(page, folder / "report" / "index.html")
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def stored(page: str) -> Any:
    """What the page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


class Reader(HTMLParser):
    """Tags with their attributes, the text of every element, and whether every end fits."""

    VOID = frozenset({"meta", "img", "line", "polyline", "circle", "link", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script") and data.strip():
            self.texts.append(data.strip())


def test_the_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    page = written(content(), tmp_path)
    assert not re.search(r"https?:|@import|url\(|//cdn", page)
    for tag, attributes in Reader(page).elements:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href", "srcset", "action", "data"):
            address = attributes.get(name)
            assert address is None or address.startswith("#")


def test_its_policy_allows_its_own_script_and_no_other(tmp_path: Path) -> None:
    page = written(content(), tmp_path)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] or "" for t, a in Reader(page).elements if "http-equiv" in a]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    page = written(content(name=NASTY, machine=NASTY, supervision=(NASTY,)), tmp_path)
    reader = Reader(page)
    assert [tag for tag, _ in reader.elements].count("script") == 2
    assert page.count("alert('1')") == page.count("\\u003cscript>alert('1')")
    assert reader.texts.count(NASTY) >= 6  # headline, machine, class rows, tags, filter, legend
    data = stored(page)
    assert data["classes"] == ["cat", NASTY]
    assert data["photos"][2]["id"] == NASTY


def test_numbers_stand_in_percent_and_the_oracle_is_named(tmp_path: Path) -> None:
    texts = Reader(written(content(), tmp_path)).texts
    for text in ("43.3", "41.0 … 45.6", "12 of 80", "55.1", "59.3", "0.35 blind", "11 min 42 s"):
        assert text in texts
    assert "oracle (uses truth)" in texts


def test_which_tags_come_together(tmp_path: Path) -> None:
    reader = Reader(written(content(), tmp_path))
    cells = [a for tag, a in reader.elements if tag == "td" and "--share" in (a.get("style") or "")]
    assert [a["style"] for a in cells] == [f"--share:{s}" for s in (100, 44, 80, 100)]
    alone = written(content(classes=("cat",), together=[[9]], gallery=(), shown=0), tmp_path)
    assert "Which tags come together" not in Reader(alone).texts


def test_without_truth_and_without_network_the_page_says_so(tmp_path: Path) -> None:
    bare = replace(item("one", 1), decisions={}, iou={}, numbers={}, maps=(), doubts=())
    page = written(content(scores={"splits": {}}, training={}, gallery=(bare,)), tmp_path)
    reader = Reader(page)
    assert "No truth was given, so nothing is scored." in reader.texts
    assert stored(page)["columns"] == []
    assert [tag for tag, _ in reader.elements].count("polyline") == 1  # the slider's


def test_a_draw_of_the_photographs_is_called_one(tmp_path: Path) -> None:
    texts = Reader(written(content(photographs=9000), tmp_path)).texts
    assert "3 of 9000 photographs, drawn by the seed." in texts


def test_an_empty_gallery_is_still_a_page(tmp_path: Path) -> None:
    page = written(content(gallery=(), shown=0), tmp_path)
    assert "Photograph by photograph" in Reader(page).texts


@pytest.mark.parametrize("name", ["naïve ÿ 猫", "broken \udcff name"])
def test_any_file_name_can_be_shown(name: str, tmp_path: Path) -> None:
    page = written(content(name=name, gallery=(item(name, 1),)), tmp_path)
    readable = name.encode("utf-8", "replace").decode()
    assert readable in Reader(page).texts
    assert stored(page)["photos"][0]["id"] == readable


def test_a_thousand_photographs_stay_below_fifteen_megabytes(tmp_path: Path) -> None:
    image = torch.from_numpy(astronaut().copy()).permute(2, 0, 1)  # full of detail
    labels = torch.zeros(512, 512, dtype=torch.uint8)
    for row in range(10, 400, 100):  # sixteen ragged pieces
        for column in range(row % 40, 400, 110):
            labels[row : row + 60, column : column + 9 + row % 49] = 1
    maps = ((1, torch.rand(80, 80)), (2, torch.rand(80, 80)))
    decisions = dict.fromkeys(("pseudo mask", "network", "truth"), labels)
    shown = GalleryItem("astronaut", "train", (1, 2), image, maps, decisions)
    written(content(gallery=(shown,) * 6, shown=1000, photographs=1000), tmp_path)
    photographs = stored((tmp_path / "report" / "index.html").read_text())["photos"]
    assert 1000 * len(json.dumps(photographs)) / 6 < 15e6
