"""What no source file of the package may do, each rule with a snippet that breaks it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tag2mask"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}
NETWORK = {
    "requests",
    "urllib.request",
    "urllib3",
    "http",
    "httpx",
    "aiohttp",
    "ftplib",
    "torch.hub",
}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
RESTRICTED_UNPICKLER = "data/cls_labels.py"  # the field's tags; arrays and nothing else

Rule = Callable[[ast.AST], bool]


def imported(node: ast.AST) -> Iterator[str]:
    """Every dotted name that a node imports, and every `torch.hub` it reaches by attribute."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield ast.unparse(node)


def reaches(node: ast.AST, modules: set[str]) -> bool:
    names = list(imported(node))
    if isinstance(node, ast.Attribute):
        modules = {module for module in modules if "." in module}
    return any(name == m or name.startswith(f"{m}.") for name in names for m in modules)


def keyword(node: ast.Call, name: str) -> object:
    values = [k.value.value for k in node.keywords if k.arg == name and is_constant(k.value)]
    return values[0] if values else None


def is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def network(node: ast.AST) -> bool:
    return reaches(node, NETWORK)


def unpickling(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("torch.load"):
        return keyword(node, "weights_only") is not True
    if isinstance(node, ast.Call):
        return keyword(node, "allow_pickle") is True
    return reaches(node, UNPICKLERS)


def cuda(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "cuda"
    )


def assertion(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert)


RULES: dict[str, tuple[Rule, str]] = {
    "network": (network, "only the hub option reaches the network, through timm"),
    "unpickling": (unpickling, "safetensors, or torch.load(..., weights_only=True)"),
    "cuda": (cuda, "the device comes with the tensor"),
    "assertion": (assertion, "raise InputError for what a user gives, prove the rest in tests"),
}


def broken(rule: Rule, text: str) -> list[int]:
    return [getattr(node, "lineno", 0) for node in ast.walk(ast.parse(text)) if rule(node)]


@pytest.mark.parametrize("name", RULES)
def test_no_file_breaks_the_rule(name: str) -> None:
    rule, instead = RULES[name]
    exempt = SOURCE / RESTRICTED_UNPICKLER if name == "unpickling" else None
    found = [
        f"{file.relative_to(SOURCE)}:{line}"
        for file in FILES
        if file != exempt
        for line in broken(rule, file.read_text(encoding="utf-8"))
    ]
    assert not found, f"{name}: {found}; instead: {instead}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("network", "import urllib.request"),
        ("network", "from torch import hub"),
        ("network", "from urllib import request"),
        ("network", "import torch\ntorch.hub.load('a', 'b')"),
        ("network", "from requests import get"),
        ("unpickling", "import pickle"),
        ("unpickling", "torch.load(path)"),
        ("unpickling", "torch.load(path, weights_only=False)"),
        ("unpickling", "np.load(path, allow_pickle=True)"),
        ("cuda", "model.cuda()"),
        ("assertion", "def f(x):\n    assert x"),
    ],
)
def test_the_rule_finds_what_breaks_it(name: str, text: str) -> None:
    assert broken(RULES[name][0], text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("network", "from urllib.parse import quote"),
        ("network", "from tag2mask.data import photos\nimport torch\ntorch.cat([])"),
        ("unpickling", "torch.load(path, map_location='cpu', weights_only=True)"),
        ("unpickling", "np.load(path, allow_pickle=False)"),
        ("cuda", "torch.cuda.is_available()"),
    ],
)
def test_the_rule_leaves_the_rest_alone(name: str, text: str) -> None:
    assert not broken(RULES[name][0], text)


def test_no_file_is_too_long() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert [f"{file}: {n} lines" for file, n in lengths.items() if n > LONGEST] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = [path for path in SOURCE.rglob("*") if path.stem.strip("_") in EMPTY_NAMES]
    assert [str(path) for path in named if path.suffix == ".py" or path.is_dir()] == []
