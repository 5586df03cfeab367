"""The page in a real browser: what the slider, the filters and the keys do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles.chromium import Browser, found

from tag2mask.evaluate import Curve, curve_counts
from tag2mask.nn.runs import pack
from tag2mask.report import GalleryItem, Headline, PageContent, object_colours, write_page
from tag2mask.types import CamSet, Instances

pytestmark = pytest.mark.skipif(
    found() is None, reason="no Chromium or Chrome is installed (Debian: apt install chromium)"
)

CLASSES = ("cat", "</script><b>dog")
LEVEL = 0.43
COUNT = 40


def drawn(number: int) -> tuple[GalleryItem, CamSet]:
    """A photograph on whose grid nothing is shrunk, so that page and package count the same."""
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (3, 48, 64), generator=generator, dtype=torch.uint8)
    tags = ((1,), (2,), (1, 2))[number % 3]
    maps = torch.randint(0, 256, (len(tags), 6, 8), generator=generator).float() / 255
    truth = torch.randint(0, len(CLASSES) + 1, (48, 64), generator=generator, dtype=torch.uint8)
    truth[:5] = 255
    cams = CamSet(f"p{number}", torch.tensor(tags), maps, (48, 64))
    enlarged = torch.nn.functional.interpolate(maps[None], (48, 64), mode="bilinear")[0]
    best, winner = enlarged.max(dim=0)
    pseudo = cams.classes.byte()[winner] * (best > LEVEL)
    halves = torch.zeros(2, 48, 64, dtype=torch.bool)
    halves[0, :, :32], halves[1, :, 32:] = True, True
    runs = tuple(pack(half.numpy()) for half in halves)
    scores = torch.tensor([0.9, 0.8], dtype=torch.float64)
    objects = Instances(f"p{number}", torch.tensor([1, 1]), runs, scores, (48, 64))
    item = GalleryItem(
        f"p{number}",
        "train" if number % 4 else "test",
        tags,
        image,
        tuple(zip(tags, maps, strict=True)),
        {"pseudo mask": pseudo, "truth": truth},
        {"pseudo mask": number / COUNT},
        {"estimate": ((7 * number) % COUNT) / COUNT, "score": number / COUNT},
        ("it looks odd",) if number % 5 == 0 else (),
        objects={"truth": objects},
    )
    return item, cams


@pytest.fixture(scope="module")
def photographs() -> list[tuple[GalleryItem, CamSet]]:
    return [drawn(number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def page(photographs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    items = [item for item, _ in photographs]
    content = PageContent(
        name="</script><i>name", method="cam", backbone="b", data="d", images=COUNT, machine="m",
        seconds=None, seed=0, classes=CLASSES, supervision=("image tags",),
        headline=Headline("12.3", "± 4", "mean IoU " * 20, (), 8, COUNT), scores={"splits": {}},
        training={},
        together=[[3, 1], [1, 2]], level=LEVEL, gallery=items, shown=COUNT, photographs=COUNT,
    )  # fmt: skip
    write_page(content, path)
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(tab: Browser, page: Path) -> Iterator[Browser]:
    """The page, open at its gallery; whatever a test does, nothing is complained of or asked."""
    tab.open(page)
    tab.run("document.getElementById('gallery').scrollIntoView()")
    tab.settle()
    yield tab
    assert tab.said == []
    assert tab.asked == []


FIRST = "document.querySelector('#list article:not(:empty)')"
PIXELS = (
    f"(() => {{ const c = {FIRST}.querySelector('[data-decision=\"pseudo mask\"] canvas');"
    "return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].join() })()"
)
IDS = "[...document.querySelectorAll('#list article')].map(a => a.getAttribute('aria-label'))"


def change(browser: Browser, control: str, value: str, event: str = "change") -> None:
    browser.run(
        f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('{event}')) }})"
        f"(document.getElementById('{control}'))"
    )
    browser.settle()


def text(browser: Browser, name: str) -> str:
    return str(browser.run(f"document.getElementById('{name}').textContent"))


def test_the_slider_changes_pixels_and_as_decided_brings_them_back(browser: Browser) -> None:
    before = browser.run(PIXELS)
    change(browser, "level", "80", "input")
    assert browser.run(PIXELS) != before
    assert "pseudo mask at 0.80" in browser.run(f"{FIRST}.textContent")
    browser.run("document.getElementById('reset').click()")
    browser.settle()
    assert browser.run(PIXELS) == before


def test_objects_stand_below_who_told_them_apart(browser: Browser) -> None:
    column = f"{FIRST}.querySelector('.column')"
    parts = f"[...{column}.children].map(f => f.textContent)"
    assert browser.run(parts) == ["truth", "true objects: 2"]
    pixels = (
        f"(() => {{ const c = {column}.querySelector('[data-objects] canvas').getContext('2d');"
        "const row = c.getImageData(0, 20, 64, 1).data;"
        "return [10, 31, 32, 50].map(x => [...row.slice(4 * x, 4 * x + 3)]) })()"
    )
    left, before, after, right = browser.run(pixels)
    assert before == after == [255, 255, 255]
    for shown, colour in zip((left, right), object_colours([1, 1])[1:].tolist(), strict=True):
        assert shown == pytest.approx(colour, abs=2)  # browsers keep colours times opacity


@pytest.mark.parametrize("level", [0, 43, 71])
def test_the_score_is_that_of_the_package(
    browser: Browser, photographs: list[tuple[GalleryItem, CamSet]], level: int
) -> None:
    curve = Curve.zeros(len(CLASSES), [k / 100 for k in range(100)])
    for item, cams in photographs:
        curve += curve_counts(cams, item.decisions["truth"], len(CLASSES), curve.marks)
    change(browser, "level", str(level), "input")
    shown = float(text(browser, "level-score").split()[2])
    assert shown == pytest.approx(100 * curve.mious()[level], abs=0.06)


def test_deciding_again_at_the_level_in_use_changes_nothing(browser: Browser) -> None:
    before = browser.run(PIXELS)
    change(browser, "level", "43", "input")
    assert browser.run(PIXELS) == before


def test_the_filters_filter(browser: Browser, photographs: Any) -> None:
    items = [item for item, _ in photographs]
    change(browser, "class", "2")
    assert set(browser.run(IDS)) == {item.id for item in items if 2 in item.tags}
    change(browser, "split", "test")
    kept = {item.id for item in items if 2 in item.tags and item.split == "test"}
    assert set(browser.run(IDS)) == kept
    assert text(browser, "count") == f"{len(kept)} photographs"
    browser.run("document.getElementById('doubtful').click()")
    assert set(browser.run(IDS)) == {i.id for i in items if i.id in kept and i.doubts}


def test_the_order_follows_the_numbers(browser: Browser, photographs: Any) -> None:
    items = [item for item, _ in photographs]
    ranked = [i.id for i in sorted(items, key=lambda item: item.numbers["estimate"])]
    assert browser.run(IDS) == ranked
    change(browser, "sort", "score|down")
    assert browser.run(IDS) == [f"p{number}" for number in reversed(range(COUNT))]
    change(browser, "sort", "")
    assert browser.run(IDS) == [item.id for item in items]


def test_only_what_is_near_is_drawn(browser: Browser) -> None:
    filled = "document.querySelectorAll('#list article:not(:empty)').length"
    assert 0 < browser.run(filled) < COUNT
    browser.run("document.querySelector('#list').lastElementChild.scrollIntoView()")
    browser.settle()
    assert browser.run("document.querySelector('#list').lastElementChild.childElementCount") > 0
    assert browser.run("document.querySelector('#list').firstElementChild.childElementCount") == 0
    assert browser.run(filled) < COUNT


def test_keys_move_the_slider_and_tags_are_buttons(browser: Browser) -> None:
    browser.run("document.getElementById('level').focus()")
    browser.press("ArrowRight", 39)
    browser.settle()
    assert text(browser, "level-value") == "0.44"
    browser.run(f"{FIRST}.querySelector('.chip').focus()")
    assert browser.run("document.activeElement.className") == "chip"


def test_doubts_lead_to_the_doubtful(browser: Browser, photographs: Any) -> None:
    browser.run("document.getElementById('to-doubtful').click()")
    browser.settle()
    assert set(browser.run(IDS)) == {item.id for item, _ in photographs if item.doubts}


def test_an_example_leads_to_its_photograph(browser: Browser) -> None:
    assert browser.run("document.querySelectorAll('#examples canvas').length") == 6
    browser.run("document.querySelector('#examples a').click()")
    browser.settle()
    place = "document.activeElement.getBoundingClientRect().top"
    assert browser.run("document.activeElement.tagName") == "ARTICLE"
    assert 0 <= browser.run(place) < 200


def test_a_long_answer_leaves_room_beside_it(browser: Browser) -> None:
    assert browser.run("document.querySelector('.aside').getBoundingClientRect().width") > 500


def test_names_are_text(browser: Browser) -> None:
    assert browser.run("document.querySelectorAll('main b i, h1 i, .chip b').length") == 0
    assert browser.run("document.querySelector('h1').textContent") == "</script><i>name"


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(tab: Browser, page: Path, dark: bool) -> None:
    tab.open(page, 360, 740, dark)
    assert tab.run("document.documentElement.scrollWidth") <= 360
    assert tab.said == []


def test_a_request_would_be_refused_and_noticed(tab: Browser, page: Path) -> None:
    tab.open(page)
    tab.run("fetch('https://192.0.2.1/').catch(() => 0)")
    assert any("Content Security Policy" in said for said in tab.said)
