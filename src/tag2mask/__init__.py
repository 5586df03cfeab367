"""Segment images from image-level tags alone: `tag2mask.fit("photos", tags="tags.csv", out=…)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["DataOptions", "Experiment", "InputError", "Range", "fit", "tune"]

if TYPE_CHECKING:
    from tag2mask.api import fit
    from tag2mask.data import DataOptions
    from tag2mask.errors import InputError
    from tag2mask.experiment import Experiment
    from tag2mask.search import Range
    from tag2mask.tuning import tune


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for, so that importing the package is quick."""
    from importlib import import_module

    homes = {
        "fit": "api",
        "DataOptions": "data",
        "Experiment": "experiment",
        "InputError": "errors",
        "Range": "search",
        "tune": "tuning",
    }
    if name not in homes:
        raise AttributeError(f"module 'tag2mask' has no attribute {name!r}")
    return getattr(import_module(f"tag2mask.{homes[name]}"), name)
