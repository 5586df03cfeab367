"""What the package hands out is documented, and its records cannot hold the answer."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import tag2mask
from tag2mask.method import Method
from tag2mask.types import TagBatch, TaggedImage

ANSWERS = {"mask", "masks", "truth", "label", "labels", "target", "annotation"}


@pytest.mark.parametrize("record", [TaggedImage, TagBatch])
def test_training_records_have_no_field_for_a_mask(record: type) -> None:
    assert {field.name for field in fields(record)} & ANSWERS == set()
    with pytest.raises(AttributeError):
        object.__new__(record).truth  # noqa: B018  (slots: none can be added either)


def test_public_names_exist_and_have_docstrings() -> None:
    assert "fit" in tag2mask.__all__
    things = {name: getattr(tag2mask, name) for name in tag2mask.__all__}
    described = {
        name: thing
        for name, thing in things.items()
        if inspect.isclass(thing) or inspect.isroutine(thing)
    }
    assert [name for name, thing in described.items() if not inspect.getdoc(thing)] == []


def test_the_table_holds_final_methods() -> None:
    from tag2mask.methods import METHODS

    assert type(METHODS) is dict
    for name, method in METHODS.items():
        assert name.islower(), f"'{name}' is typed on a command line; write it in lower case."
        assert issubclass(method, Method), f"'{name}' is not a Method."
        assert getattr(method, "__final__", False), f"{method.__name__} lacks @final."
