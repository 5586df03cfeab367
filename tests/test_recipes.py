"""Every recipe can be built as a user imports it, and says what its papers say."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tag2mask.experiment import Experiment, method_name

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py") if path.stem != "settings")


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT))
    yield
    for name in set(sys.modules) - before:
        if name.startswith("recipes"):
            del sys.modules[name]


def built(recipe: Any) -> list[Experiment]:
    """What a recipe returns for paths that need not be there."""
    known = inspect.signature(recipe).parameters
    paths = {name: Path(name) for name, p in known.items() if p.default is p.empty}
    made = recipe(**paths)
    return made if isinstance(made, list) else [made]


@pytest.mark.parametrize("file", FILES)
def test_recipes_are_experiments(file: str) -> None:
    module = importlib.import_module(f"recipes.{file}")
    recipes = {n: f for n, f in vars(module).items() if n.startswith(f"{file}_")}
    assert f"{file}_small" in recipes
    assert {f"{file}_voc", f"{file}_official"} & set(recipes)  # REC's paper has a set of its own
    for name, recipe in recipes.items():
        made = built(recipe)
        assert all(isinstance(one, Experiment) for one in made)
        assert file in {method_name(one.method) for one in made}
        if "voc" in name or "coco" in name:
            assert {one.data.format for one in made} == {"voc" if "voc" in name else "coco"}
            assert {one.precision for one in made} == {"bf16-mixed"}


@pytest.mark.parametrize("file", ["seam", "ppc", "eps", "fbr"])
@pytest.mark.parametrize("data", ["voc", "coco"])
def test_papers_on_wideresnet_have_it(file: str, data: str) -> None:
    recipe = getattr(importlib.import_module(f"recipes.{file}"), f"{file}_{data}")
    saliency = {"saliency": Path("s")} if file == "eps" else {}
    one = recipe(Path("root"), weights="a1.pth", backbone="wide_resnet38", **saliency)
    backbone = one.backbone
    assert (backbone.name, backbone.stride, backbone.frozen) == ("wide_resnet38", 8, 2)
    assert (one.size, one.train.batch) == (448, 8)
    assert round(one.size * one.train.zoom[1]) == 768


def test_fbr_with_saliency_stands_on_ppc_and_eps() -> None:
    fbr = importlib.import_module("recipes.fbr")
    assert fbr.fbr_voc(Path("root")).method.host == "ppc"
    assert fbr.fbr_voc(Path("root"), Path("saliency")).method.host == "ppc-eps"
    assert fbr.fbr_coco_amn(Path("root")).method.host == "amn"
