import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from skimage.data import astronaut

from tag2mask.report.page import MAPS, GalleryItem, PageContent, write_page

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


def item(name: str, *tags: str, side: int = 32) -> GalleryItem:
    generator = torch.Generator().manual_seed(len(name))
    image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(side, side, dtype=torch.uint8)
    labels[4:20, 4:20] = 1
    maps = tuple((tag, torch.full((3, 3), 0.1 * rank)) for rank, tag in enumerate(tags))
    return GalleryItem(name, tags, image, maps, labels, labels, labels, "IoU 61.0")


def content(**changes: Any) -> PageContent:
    page = PageContent(
        name="demo", method="CAM", backbone="tf_efficientnet_lite0", data="demo", images=800,
        machine="2 CPU cores", seconds=702.0, seed=0, classes=("cat", NASTY),
        supervision=("image tags", "weights trained on ImageNet-1k"),
        scores={"splits": {"train": {"maps": SCORE}, "test": {"network": SCORE}}},
        training={"classifier": LOG, "network": LOG},
        gallery=(item("one", "cat"), item("two/three", "cat", NASTY), item(NASTY, NASTY)),
    )  # fmt: skip
    return replace(page, **changes)


def written(page: PageContent, folder: Path) -> str:
    write_page(page, folder / "report" / "index.html")
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


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
            assert address is None or address.startswith(("data:image/", "#"))


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    page = written(content(name=NASTY, machine=NASTY, supervision=(NASTY,)), tmp_path)
    reader = Reader(page)
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert "alert('1')" not in page
    assert reader.texts.count(NASTY) >= 8  # headline, machine, supervision, class rows, chips, …
    labels = [attributes.get("alt") for tag, attributes in reader.elements if tag == "img"]
    assert f"Photograph {NASTY}" in labels
    allowed = {"src", "alt", "decoding"}
    assert all(attributes.keys() <= allowed for tag, attributes in reader.elements if tag == "img")


def test_every_photograph_is_there_with_all_its_pictures(tmp_path: Path) -> None:
    page = content()
    reader = Reader(written(page, tmp_path))
    for shown in page.gallery:
        alts = [a["alt"] for tag, a in reader.elements if tag == "img"]
        assert shown.id in reader.texts
        assert f"Photograph {shown.id}" in alts
        for name in ("pseudo mask", "network", "truth"):
            assert f"Labels of {shown.id}: {name}" in alts
        for name in shown.tags:
            assert f"Map of {name}, {shown.id}" in alts


def test_the_strongest_maps_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(7))
    page = written(content(classes=classes, gallery=(item("many", *classes),)), tmp_path)
    shown = re.findall(r'alt="Map of (.*?), many"', page)
    assert shown == ["class 6", "class 5", "class 4", "class 3"]
    assert len(shown) == MAPS
    assert "3 more not shown" in page


def test_numbers_stand_in_percent_and_the_oracle_is_named(tmp_path: Path) -> None:
    texts = Reader(written(content(), tmp_path)).texts
    assert "55.1" in texts
    assert "59.3" in texts
    assert "oracle (uses truth)" in texts
    assert "0.35 blind" in texts
    assert "11 min 42 s" in texts


def test_without_truth_and_without_network_the_page_says_so(tmp_path: Path) -> None:
    bare = replace(item("one", "cat"), truth=None, network=None, note="", maps=())
    page = written(content(scores={"splits": {}}, training={}, gallery=(bare,)), tmp_path)
    reader = Reader(page)
    assert "No truth was given, so nothing is scored." in reader.texts
    assert [tag for tag, _ in reader.elements].count("img") == 2
    assert [tag for tag, _ in reader.elements].count("svg") == 0


def test_what_one_photograph_lacks_is_said_so_that_columns_stay_aligned(tmp_path: Path) -> None:
    full, bare = item("one", "cat"), replace(item("two", "cat"), truth=None, maps=())
    gallery = tuple(replace(shown, pseudo=None) for shown in (full, bare))
    texts = Reader(written(content(gallery=gallery), tmp_path)).texts
    assert texts.count("no truth") == texts.count("no maps") == 1
    assert "pseudo mask" not in texts
    assert "no pseudo mask" not in texts


def test_an_empty_gallery_is_still_a_page(tmp_path: Path) -> None:
    assert "Photograph by photograph" in Reader(written(content(gallery=()), tmp_path)).texts


def test_the_filter_knows_the_classes_of_every_photograph(tmp_path: Path) -> None:
    elements = Reader(written(content(), tmp_path)).elements
    rows = [a["data-classes"] for tag, a in elements if tag == "article"]
    assert [(row or "").split() for row in rows] == [["0"], ["0", "1"], ["1"]]
    assert [a["value"] for tag, a in elements if tag == "option"] == ["", "0", "1"]


@pytest.mark.parametrize("name", ["naïve ÿ 猫", "broken \udcff name"])
def test_any_file_name_can_be_shown(name: str, tmp_path: Path) -> None:
    shown = Reader(written(content(gallery=(item(name, "cat"),)), tmp_path)).texts
    assert name.encode("utf-8", "replace").decode() in shown


def test_forty_eight_photographs_stay_below_six_megabytes(tmp_path: Path) -> None:
    image = torch.from_numpy(astronaut().copy()).permute(2, 0, 1)  # full of detail
    labels = torch.zeros(512, 512, dtype=torch.uint8)
    labels[100:400, 150:350] = 1
    maps = (("cat", torch.rand(14, 14)), (NASTY, torch.rand(14, 14)))
    shown = GalleryItem("astronaut", ("cat", NASTY), image, maps, labels, labels, labels)
    written(content(gallery=(shown,) * 48), tmp_path)
    assert (tmp_path / "report" / "index.html").stat().st_size < 6e6
