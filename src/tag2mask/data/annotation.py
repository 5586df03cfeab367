"""Annotations in XML, a file a photograph, as VOC and ImageNet have them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tag2mask.errors import InputError


def read_annotation(path: Path, missing: str) -> ElementTree.Element:
    """The root of an annotation.

    Args:
        missing: what to say where there is none.

    Raises:
        InputError: it is not there, or broken.
    """
    try:
        return ElementTree.fromstring(path.read_bytes())
    except FileNotFoundError:
        raise InputError(missing) from None
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"The annotation {path} cannot be read ({error}).") from None
