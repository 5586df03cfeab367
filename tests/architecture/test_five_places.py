"""Adding a method touches exactly five places; this says which one is missing."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def recipe_functions(name: str, root: Path) -> list[str]:
    """Functions that return an Experiment for the method, over all of its recipe files."""
    files = [*root.glob(f"recipes/{name}.py"), *root.glob(f"recipes/{name}_*.py")]
    return [
        node.name
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.split("_")[0] == name.split("_")[0]
        and node.returns is not None
        and ast.unparse(node.returns).strip("'\"").endswith("Experiment")
    ]


def missing_places(table: Iterable[str], root: Path) -> list[str]:
    """One line for each of the five places that a method lacks."""
    table = set(table)
    folders = root / "src/tag2mask/methods"
    rooms = {room.parent.name for room in folders.glob("*/__init__.py")}
    lines = []
    for name in sorted(table | rooms):
        lacks = {
            f"its line in the table tag2mask.methods.METHODS, '{name}'": name not in table,
            f"its room, src/tag2mask/methods/{name}/__init__.py": name not in rooms,
            f"its tests, tests/methods/{name}/test_*.py": not [
                *root.glob(f"tests/methods/{name}/test_*.py")
            ],
            f"its recipe, recipes/{name}_*.py with a function {name}…() -> Experiment": (
                not recipe_functions(name, root)
            ),
            f"its page, docs/methods/{name}.md": not (root / f"docs/methods/{name}.md").is_file(),
        }
        lines += [f"The method '{name}' lacks {place}." for place, gone in lacks.items() if gone]
    return lines


def test_every_method_has_its_five_places() -> None:
    from tag2mask.methods import METHODS

    missing = missing_places(METHODS, ROOT)
    assert not missing, "\n".join(missing)


def test_every_method_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [f"methods/{page.name}" for page in sorted((ROOT / "docs/methods").glob("*.md"))]
    assert [page for page in pages if page not in navigation] == []


def plant(root: Path) -> dict[str, Path]:
    """A repository in which the method `new` has all of its places."""
    files = {
        "room": (root / "src/tag2mask/methods/new/__init__.py", ""),
        "tests": (root / "tests/methods/new/test_new.py", ""),
        "recipe": (
            root / "recipes/new_small.py",
            "def new_small(seed: int = 0) -> Experiment: ...\n",
        ),
        "page": (root / "docs/methods/new.md", "# NEW\n"),
    }
    for path, text in files.values():
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return {place: path for place, (path, _) in files.items()}


def test_a_whole_method_lacks_nothing(tmp_path: Path) -> None:
    plant(tmp_path)
    assert missing_places(["new"], tmp_path) == []


@pytest.mark.parametrize("place", ["room", "tests", "recipe", "page"])
def test_the_missing_place_is_named(tmp_path: Path, place: str) -> None:
    plant(tmp_path)[place].unlink()
    (line,) = missing_places(["new"], tmp_path)
    assert line.startswith("The method 'new' lacks its ")
    assert place in line


def test_a_room_without_a_line_in_the_table_is_named(tmp_path: Path) -> None:
    plant(tmp_path)
    (line,) = missing_places([], tmp_path)
    assert "METHODS, 'new'" in line


def test_a_recipe_must_return_an_experiment(tmp_path: Path) -> None:
    plant(tmp_path)["recipe"].write_text("def new_small(): ...\n", encoding="utf-8")
    (line,) = missing_places(["new"], tmp_path)
    assert "its recipe" in line
